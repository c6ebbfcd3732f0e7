//! An unacceptable webhook is refused, its reason is logged, and nothing is stored.

use std::{net::SocketAddr, time::Duration};

use reqwest::{RequestBuilder, header};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};
use twilio::signature;
use twilio_simulator::WebhookSender;

use crate::{
    app::text,
    database::{Database, NUMBER},
    process::Process,
    settings::{ProgramSettings, WEBHOOK, hex},
    wait::{PATIENCE, eventually},
    webhook::{FORM, client, encode, webhook},
};

/// A text in every refused message, which must not appear in any log.
const CANARY: &str = "canary-in-the-text";

type WebhookParameters = Vec<(String, String)>;

/// A receiver in its own process, so that the test can read its log.
struct ReceiverHarness {
    database: Database,
    process: Process,
    addr: SocketAddr,
    twilio: WebhookSender,
}

impl ReceiverHarness {
    async fn start() -> Self {
        let database = Database::create().await;
        let (process, addr) = Process::receiver("receiver", &database.settings).await;
        let twilio = database.settings.twilio(addr);
        Self {
            database,
            process,
            addr,
            twilio,
        }
    }

    fn settings(&self) -> &ProgramSettings {
        &self.database.settings
    }

    fn parameters(&self) -> WebhookParameters {
        self.twilio.parameters(&text(NUMBER, CANARY))
    }

    /// Signs these parameters and posts them.
    fn signed(&self, parameters: &WebhookParameters) -> RequestBuilder {
        self.body(encode(parameters), &self.settings().sign(parameters))
    }

    fn body(&self, body: impl Into<reqwest::Body>, signature: &str) -> RequestBuilder {
        webhook(self.addr, signature, body)
    }

    fn refusals(&self) -> Vec<Value> {
        let mut lines = self.process.lines();
        lines.retain(|line| line["fields"]["message"] == "webhook refused");
        lines
    }

    /// Waits until the log has one more refusal than before.
    async fn next_refusal(&self, before: usize) -> Value {
        eventually("a refusal in the log", PATIENCE, async || {
            self.refusals().into_iter().nth(before)
        })
        .await
    }

    /// Checks that nothing was stored, that no forbidden text was logged, and that the next message
    /// is accepted.
    async fn assert_unharmed(&mut self) {
        let rows = self.database.rows().await;
        assert_eq!((rows.messages, rows.jobs, rows.dead), (0, 0, 0));
        assert!(self.process.is_running());
        let log = self.process.log();
        for forbidden in [
            CANARY,
            NUMBER.trim_start_matches('+'),
            self.settings().get("TWILIO_AUTH_TOKEN"),
            "panicked",
        ] {
            assert!(!log.contains(forbidden), "{forbidden:?} is in:\n{log}");
        }
        let good = self.twilio.deliver(&text(NUMBER, "Hello")).await.unwrap();
        assert_eq!(good.status, 200);
        assert_eq!(self.database.rows().await.messages, 1);
    }
}

fn replaced(mut parameters: WebhookParameters, name: &str, value: &str) -> WebhookParameters {
    let parameter = parameters.iter_mut().find(|(known, _)| known == name);
    value.clone_into(&mut parameter.unwrap().1);
    parameters
}

fn without(mut parameters: WebhookParameters, name: &str) -> WebhookParameters {
    parameters.retain(|(known, _)| known != name);
    parameters
}

/// Changes the first character.
fn changed(text: &str) -> String {
    let (first, rest) = text.split_at(1);
    format!("{}{rest}", if first == "A" { "B" } else { "A" })
}

/// Each request with its expected status and logged reason.
fn cases(target: &ReceiverHarness) -> Vec<(&'static str, RequestBuilder, u16, &'static str)> {
    let parameters = target.parameters();
    let (body, right) = (encode(&parameters), target.settings().sign(&parameters));
    let post = |body: String| target.body(body, &right);
    let other_path = client()
        .post(format!("http://{}{WEBHOOK}?x=1", target.addr))
        .header(signature::HEADER, &right)
        .header(header::CONTENT_TYPE, FORM)
        .body(body.clone());
    let unsigned = client()
        .post(format!("http://{}{WEBHOOK}", target.addr))
        .header(header::CONTENT_TYPE, FORM)
        .body(body.clone());
    let other_type = |media_type: &str| {
        client()
            .post(format!("http://{}{WEBHOOK}", target.addr))
            .header(signature::HEADER, &right)
            .header(header::CONTENT_TYPE, media_type)
            .body(body.clone())
    };
    let no_type = client()
        .post(format!("http://{}{WEBHOOK}", target.addr))
        .header(signature::HEADER, &right)
        .body(body.clone());
    let with_raw = |raw: &[u8]| {
        let body = [body.as_bytes(), b"&Extra=", raw].concat();
        target.body(body, &right)
    };
    let wrong_signature = changed(&right);
    let foreign = replaced(parameters.clone(), "AccountSid", &format!("AC{}", hex()));
    let bad_sid = replaced(parameters.clone(), "MessageSid", "SM123");
    let mut twice = parameters.clone();
    twice.push(("MessageSid".to_owned(), format!("SM{}", hex())));
    let many = format!("{body}{}", "&a=1".repeat(5000));
    vec![
        ("body changed", post(changed(&body)), 403, "mismatch"),
        (
            "parameter added",
            post(format!("{body}&a=1")),
            403,
            "mismatch",
        ),
        (
            "signature changed",
            target.body(body.clone(), &wrong_signature),
            403,
            "mismatch",
        ),
        (
            "signature of another size",
            target.body(body.clone(), "abc"),
            403,
            "not_a_signature",
        ),
        (
            "empty signature",
            target.body(body.clone(), ""),
            403,
            "not_a_signature",
        ),
        ("URL changed", other_path, 403, "query_extra"),
        ("no signature", unsigned, 403, "signature_missing"),
        (
            "another account's",
            target.signed(&foreign),
            403,
            "foreign_account",
        ),
        (
            "no SID",
            target.signed(&without(parameters.clone(), "MessageSid")),
            400,
            "missing",
        ),
        (
            "no sender",
            target.signed(&without(parameters, "From")),
            400,
            "missing",
        ),
        ("no real SID", target.signed(&bad_sid), 400, "malformed"),
        ("two SIDs", target.signed(&twice), 400, "repeated"),
        ("nothing", target.signed(&Vec::new()), 400, "missing"),
        ("NUL", with_raw(b"a%00b"), 400, "nul"),
        ("escaped broken UTF-8", with_raw(b"%ff%fe"), 400, "not_utf8"),
        ("broken UTF-8", with_raw(b"\xff"), 400, "not_utf8"),
        ("broken escape", with_raw(b"100%"), 400, "broken_escape"),
        ("5,000 parameters", post(many), 400, "too_many_parameters"),
        ("JSON", other_type("application/json"), 415, "media_type"),
        (
            "multipart",
            other_type("multipart/form-data; boundary=x"),
            415,
            "media_type",
        ),
        ("no content type", no_type, 415, "media_type"),
    ]
}

#[tokio::test]
async fn bad_webhooks_are_refused_with_their_reason_in_the_log_and_store_nothing() {
    let mut target = ReceiverHarness::start().await;
    for (name, request, status, reason) in cases(&target) {
        let before = target.refusals().len();
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{name}");
        let body = response.text().await.unwrap();
        if status == 403 {
            assert_eq!(body, "Forbidden", "{name}");
        }
        assert!(!body.contains(CANARY), "{name}");
        let line = target.next_refusal(before).await;
        assert_eq!(line["fields"]["reason"], reason, "{name}");
        assert_eq!(line["fields"]["status"], status, "{name}");
        assert_eq!(line["level"], "WARN", "{name}");
    }
    for method in [reqwest::Method::GET, reqwest::Method::PUT] {
        let url = format!("http://{}{WEBHOOK}", target.addr);
        let response = client().request(method, url).send().await.unwrap();
        assert_eq!(response.status(), 405);
    }
    let unknown = client().get(format!("http://{}/admin", target.addr));
    assert_eq!(unknown.send().await.unwrap().status(), 404);
    target.assert_unharmed().await;
}

/// Sends the head of a webhook on a connection of its own.
async fn open(target: &ReceiverHarness, length: &str) -> TcpStream {
    let mut stream = TcpStream::connect(target.addr).await.unwrap();
    let head = format!(
        "POST {WEBHOOK} HTTP/1.1\r\nHost: sms.example.com\r\nContent-Type: {FORM}\r\n\
         X-Twilio-Signature: {}\r\n{length}\r\n\r\n",
        target.settings().sign(&[]),
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// The first line of the response, read while `send` keeps sending until it fails or ends.
async fn answer(
    stream: TcpStream,
    send: impl AsyncFn(&mut tokio::net::tcp::OwnedWriteHalf),
) -> String {
    let (mut read, mut write) = stream.into_split();
    let mut bytes = Vec::new();
    let reading = async {
        // A reset after the response is accepted like an end: the receiver has closed the
        // connection.
        read.read_to_end(&mut bytes).await.ok();
    };
    let both = async {
        tokio::pin!(reading);
        tokio::select! {
            () = &mut reading => {}
            () = send(&mut write) => reading.await,
        }
    };
    timeout(PATIENCE, both)
        .await
        .expect("the receiver closes the connection");
    let answer = String::from_utf8_lossy(&bytes).into_owned();
    answer.lines().next().unwrap_or_default().to_owned()
}

const TEN_MEGABYTES: usize = 10 * 1024 * 1024;

#[tokio::test]
async fn a_body_of_ten_megabytes_is_refused_before_it_is_read() {
    let mut target = ReceiverHarness::start().await;

    let declared = open(&target, &format!("Content-Length: {TEN_MEGABYTES}")).await;
    let line = answer(declared, async |_| {}).await;
    assert_eq!(line, "HTTP/1.1 413 Payload Too Large");
    assert_eq!(
        target.next_refusal(0).await["fields"]["reason"],
        "too_large"
    );

    let chunked = open(&target, "Transfer-Encoding: chunked").await;
    let line = answer(chunked, async |write| {
        let chunk = [b"1000\r\n", [b'a'; 0x1000].as_slice(), b"\r\n"].concat();
        for _ in 0..TEN_MEGABYTES / 0x1000 {
            if write.write_all(&chunk).await.is_err() {
                return; // refused
            }
        }
    })
    .await;
    assert_eq!(line, "HTTP/1.1 413 Payload Too Large");
    assert_eq!(
        target.next_refusal(1).await["fields"]["reason"],
        "too_large"
    );
    target.assert_unharmed().await;
}

#[tokio::test]
async fn a_client_that_sends_its_body_too_slowly_is_cut_off() {
    let mut target = ReceiverHarness::start().await;
    let started = Instant::now();
    let stream = open(&target, "Content-Length: 1000").await;
    let line = answer(stream, async |write| {
        while write.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    let took = started.elapsed();
    assert_eq!(line, "HTTP/1.1 408 Request Timeout");
    assert!(took < Duration::from_secs(7), "{took:?}");
    assert_eq!(target.next_refusal(0).await["fields"]["reason"], "too_slow");
    target.assert_unharmed().await;
}

#[tokio::test]
async fn a_body_that_ends_early_is_refused() {
    let mut target = ReceiverHarness::start().await;
    let stream = open(&target, "Content-Length: 1000").await;
    answer(stream, async |write| {
        write.write_all(b"Body=half").await.unwrap();
        write.shutdown().await.unwrap();
    })
    .await;
    assert_eq!(target.next_refusal(0).await["fields"]["reason"], "cut_off");
    target.assert_unharmed().await;
}
