//! Linking numbers with all possible results: afterwards database, logs and metrics contain no
//! number, no code, no token and no SMS.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use reqwest::{Client, Method, RequestBuilder, header};
use serde_json::{Value, json};
use store::{sends, users};
use twilio::signature;
use twilio_simulator::{Behaviour, Callbacks, SendAnswer, SimulatedApi, WebhookSender};
use uuid::Uuid;

use super::{
    SampleNumber, captured_text::CapturedText, dump, in_any_form, log_of_postgres,
    needles::Needles, numbers,
};
use crate::{
    api::token_of,
    app::text,
    database::Database,
    process::Process,
    settings::hex,
    wait::{PATIENCE, eventually},
    webhook::{FORM, client, encode, webhook},
};

const PATH: &str = "/api/user/phone-number";
const VERIFY: &str = "/api/user/phone-number/verify";

/// The behaviours of Twilio for the numbers, in turn.
fn behaviours() -> [Behaviour; 8] {
    let refused = |code| SendAnswer::Refuse { status: 400, code };
    [
        SendAnswer::Accept.into(),
        refused(21211).into(),
        SendAnswer::CutAfter.without_callbacks(),
        SendAnswer::CutBefore.into(),
        Callbacks::Undelivered { code: 30005 }.into(),
        SendAnswer::Garbage.without_callbacks(),
        SendAnswer::ServerError { accept: false }.into(),
        refused(21610).into(),
    ]
}

/// A user who links a number.
struct LinkingUser {
    number: SampleNumber,
    id: Uuid,
    token: String,
    code: String,
}

/// The program and its environment.
struct LinkingHarness {
    database: Database,
    api: SimulatedApi,
    twilio: WebhookSender,
    receiver: Process,
    addr: SocketAddr,
    client: Client,
    /// A word that every SMS contains.
    word: String,
}

impl LinkingHarness {
    async fn start() -> Self {
        let word = hex();
        let (database, api) = Database::create()
            .await
            .with("RUST_LOG", "debug")
            .with("VERIFICATION_COUNTRIES", "US,DE")
            .with("VERIFICATION_IP_HOURLY_LIMIT", "1000")
            .with("VERIFICATION_PREFIX_HOURLY_LIMIT", "1000")
            .with(
                "VERIFICATION_MESSAGE",
                format!("{word}: {{code}}, {{minutes}} min"),
            )
            .with_twilio()
            .await;
        let (receiver, addr) = Process::receiver("receiver", &database.settings).await;
        api.connect(&format!("http://{addr}"));
        Self {
            twilio: database.settings.twilio(addr),
            client: client(),
            database,
            api,
            receiver,
            addr,
            word,
        }
    }

    fn request(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.addr);
        self.client.request(method, url).bearer_auth(token)
    }

    async fn post(&self, path: &str, token: &str, body: &Value) -> u16 {
        status(self.request(Method::POST, path, token).json(body)).await
    }

    /// Requests a code twice, with an `Idempotency-Key` that contains the number. Returns the user.
    async fn link(&self, number: SampleNumber) -> LinkingUser {
        let id = Uuid::new_v4();
        let mut conn = self.database.pool.acquire().await.unwrap();
        users::ensure(&mut conn, id).await.unwrap();
        let token = token_of(id, self.database.settings.get("JWT_SECRET"));
        let link = |text: &str| {
            let body = json!({ "phoneNumber": text });
            let request = self.request(Method::POST, PATH, &token).json(&body);
            request.header("idempotency-key", format!("link-{}", number.e164))
        };
        assert_eq!(status(link(&number.e164)).await, 201);
        assert_eq!(status(link(&number.e164)).await, 201);
        assert_eq!(status(link(&format!("{} ", number.e164))).await, 422);
        let send = sqlx::query_scalar("select id from pigeonhole.sends where user_id = $1");
        let send: Uuid = send.bind(id).fetch_one(&mut *conn).await.unwrap();
        let keyring = self.database.settings.keyring();
        let send = sends::load(&mut conn, &keyring, send).await.unwrap();
        let (to, sms) = send.unwrap().message.unwrap();
        assert_eq!(to.as_str(), number.e164);
        let code = sms.strip_prefix(&format!("{}: ", self.word)).unwrap();
        LinkingUser {
            code: code[..6].to_owned(),
            number,
            id,
            token,
        }
    }

    /// Sends requests that are refused and contain a number, a code or a token.
    async fn refuse(&self, user: &LinkingUser, forged: &str) {
        let (e164, token) = (&user.number.e164, &user.token);
        let ask = |text: &str| json!({ "phoneNumber": text });
        let guess = |number: &str, code: &str| json!({ "phoneNumber": number, "code": code });
        for (path, token, body, expected) in [
            (PATH, token.as_str(), ask(e164), 429),
            (PATH, token, ask(&format!("{e164} ext. 5")), 400),
            (PATH, token, ask(&format!("whatsapp:{e164}")), 400),
            (PATH, token, json!({ "number": e164 }), 400),
            (PATH, forged, ask(e164), 401),
            (VERIFY, forged, guess(e164, &user.code), 401),
            (VERIFY, token, guess(e164, &format!("{} ", user.code)), 400),
            (VERIFY, token, guess(&user.code, &user.code), 400),
            (&format!("{PATH}/{e164}"), token, ask(e164), 404),
        ] {
            assert_eq!(
                self.post(path, token, &body).await,
                expected,
                "{path} {expected}"
            );
        }
        let query = format!("{PATH}?number={e164}&code={}", user.code);
        let put = self.request(Method::PUT, &query, token).json(&ask(e164));
        assert_eq!(status(put).await, 405);
        let broken = self.request(Method::POST, &query, token);
        let broken = broken.header(header::CONTENT_TYPE, "application/json");
        let broken = broken.body(format!(
            "{{\"phoneNumber\": \"{e164}\", \"code\": {}",
            user.code
        ));
        assert_eq!(status(broken).await, 400);
        let basic = self.request(Method::GET, PATH, token);
        let basic = basic.header(header::AUTHORIZATION, format!("Basic {token}"));
        assert!([400, 401].contains(&status(basic).await));
    }

    /// Sends forged requests.
    async fn forge(&self, user: &LinkingUser) {
        let text = text(&user.number.e164, &format!("{}: {}", self.word, user.code));
        let parameters = encode(&self.twilio.parameters(&text));
        let signature = format!("{}=", "A".repeat(27));
        let sent = webhook(self.addr, &signature, parameters.clone());
        assert_eq!(status(sent).await, 403);
        let url = format!("http://{}/api/sms/status?send={}", self.addr, user.id);
        let report = self.client.post(url).header(signature::HEADER, &signature);
        let report = report.header(header::CONTENT_TYPE, FORM).body(parameters);
        assert_eq!(status(report).await, 403);
    }

    /// Enters codes: the right one for every second user, and wrong ones for the others until the
    /// code is invalid.
    async fn verify(&self, at: usize, user: &LinkingUser) {
        let guess = |code: &str| json!({ "phoneNumber": user.number.e164, "code": code });
        let wrong = if user.code == "123456" {
            "654321"
        } else {
            "123456"
        };
        let tries = if at.is_multiple_of(2) { 1 } else { 5 };
        for _ in 0..tries {
            let refused = self.post(VERIFY, &user.token, &guess(wrong)).await;
            assert_eq!(refused, 400);
        }
        let expected = if at.is_multiple_of(2) { 200 } else { 400 };
        let entered = self.post(VERIFY, &user.token, &guess(&user.code)).await;
        assert_eq!(entered, expected);
    }

    /// Waits until no send is pending or being looked up, and lets time pass for that.
    async fn settle(&self) {
        eventually("all jobs end", 2 * PATIENCE, async || {
            for statement in [
                "update pigeonhole.sends set posted_at = posted_at - interval '40 s'",
                "update queue.jobs set run_at = now() where not ready and locked_by is null",
            ] {
                let pool = &self.database.pool;
                sqlx::query(statement).execute(pool).await.unwrap();
            }
            (self.database.rows().await.jobs == 0).then_some(())
        })
        .await;
    }
}

async fn status(request: RequestBuilder) -> u16 {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    response.bytes().await.unwrap();
    status
}

async fn metrics(process: &Process) -> String {
    let admin = process.addr("admin listens").await;
    let url = format!("http://{admin}/metrics");
    client()
        .get(url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn linking_leaves_no_number_code_token_or_sms_in_database_logs_or_metrics() {
    let harness = LinkingHarness::start().await;
    let mut linked = Vec::new();
    for (number, behaviour) in numbers()
        .into_iter()
        .skip(16)
        .zip(behaviours().iter().cycle())
    {
        harness.api.behave(&number.e164, behaviour.clone());
        linked.push(harness.link(number).await);
    }
    assert!(linked.len() >= 24);
    let forged = token_of(linked[0].id, &hex());
    harness.refuse(&linked[0], &forged).await;
    let worker = Process::start("worker", &harness.database.settings);
    harness.settle().await;
    let mut sids = Vec::new();
    for (at, user) in linked.iter().enumerate() {
        harness.verify(at, user).await;
        assert_eq!(
            status(harness.request(Method::GET, PATH, &user.token)).await,
            200
        );
        let hello = text(&user.number.e164, "Hello");
        sids.push(harness.twilio.deliver(&hello).await.unwrap().message_sid);
    }
    harness.forge(&linked[0]).await;
    harness.settle().await;
    for user in linked.iter().step_by(3) {
        assert_eq!(
            status(harness.request(Method::DELETE, PATH, &user.token)).await,
            204
        );
    }
    tokio::time::timeout(Duration::from_secs(1), harness.api.accepted_after(0))
        .await
        .expect("some SMS were taken");

    let captured_text = [
        ("the dump", CapturedText::Dump(dump(&harness.database))),
        (
            "the receiver's log",
            CapturedText::Log(harness.receiver.log()),
        ),
        ("the worker's log", CapturedText::Log(worker.log())),
        (
            "the receiver's metrics",
            CapturedText::Metrics(metrics(&harness.receiver).await),
        ),
        (
            "the worker's metrics",
            CapturedText::Metrics(metrics(&worker).await),
        ),
        (
            "the log of Postgres",
            CapturedText::ForeignLog(log_of_postgres()),
        ),
    ];
    // The texts contain what they should, so the search would also find what they should not
    // contain.
    for (what, expected) in [
        (0, "ignored_unlinked"),
        (0, "undelivered"),
        (0, "invalid_number"),
        (1, "verification_failed"),
        (1, "status report"),
        (1, "DEBUG"),
        (2, "we look for it"),
        (3, "outcome=\"verified\""),
        (4, "pigeonhole_sends_ended_total"),
    ] {
        let (name, captured_text) = &captured_text[what];
        assert!(
            captured_text.text().contains(expected),
            "{name} lacks {expected}"
        );
    }
    let codes: HashSet<String> = linked.iter().map(|user| user.code.clone()).collect();
    let (numbers, tokens): (Vec<_>, Vec<_>) = linked
        .into_iter()
        .map(|user| (user.number, user.token))
        .unzip();
    // The last part of a token is its signature, which alone is a secret.
    let mut secrets: Vec<String> = tokens.iter().chain([&forged]).cloned().collect();
    secrets.extend(
        tokens
            .iter()
            .map(|token| token.rsplit('.').next().unwrap().to_owned()),
    );
    secrets.push(harness.word.clone());
    let (numbers, secrets) = (in_any_form(&numbers), Needles::encoded(&secrets));
    for (what, captured_text) in &captured_text {
        numbers.assert_none_in(what, captured_text.text());
        secrets.assert_none_in(what, captured_text.text());
        assert_eq!(captured_text.code(&codes), None, "{what} holds a code");
    }
}
