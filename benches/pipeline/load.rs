//! Clients: each one keeps a connection open and posts signed webhooks, one after the other.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn::http1::SendRequest, header};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::Semaphore, task::JoinSet};

use crate::{
    harness::{USERS, number},
    setup::{ACCOUNT, PUBLIC, TOKEN},
};

const PATH: &str = "/api/sms/webhook";

/// The number of connections that send at once.
const CONNECTIONS: usize = 64;

/// Posts one webhook for each permit.
pub(crate) struct WebhookLoad {
    permits: Arc<Semaphore>,
    answered: Arc<AtomicU64>,
    clients: JoinSet<()>,
}

impl WebhookLoad {
    pub(crate) fn start(receiver: SocketAddr, numbers: &Arc<AtomicU64>) -> Self {
        let permits = Arc::new(Semaphore::new(0));
        let answered = Arc::new(AtomicU64::new(0));
        let mut clients = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (permits, answered) = (permits.clone(), answered.clone());
            let numbers = numbers.clone();
            clients.spawn(async move {
                let mut client = WebhookClient::connect(receiver).await;
                while let Ok(permit) = permits.acquire().await {
                    permit.forget();
                    client.post(numbers.fetch_add(1, Ordering::Relaxed)).await;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self {
            permits,
            answered,
            clients,
        }
    }

    /// Adds permits for this many webhooks.
    pub(crate) fn allow(&self, messages: usize) {
        self.permits.add_permits(messages);
    }

    /// The number of unused permits.
    pub(crate) fn allowed(&self) -> usize {
        self.permits.available_permits()
    }

    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Sends `per_s` messages a second, independent of the answers.
    pub(crate) async fn pace(&self, per_s: f64, during: Duration) {
        let started = Instant::now();
        let mut sent = 0.0;
        let mut ticks = tokio::time::interval(Duration::from_millis(2));
        while started.elapsed() < during {
            ticks.tick().await;
            let due = (started.elapsed().as_secs_f64() * per_s).floor() - sent;
            sent += due;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a small whole number"
            )]
            self.allow(due as usize);
        }
    }

    pub(crate) async fn finish(mut self) {
        self.permits.close();
        while self.clients.join_next().await.is_some() {}
    }
}

/// One connection.
pub(crate) struct WebhookClient(SendRequest<Full<Bytes>>);

impl WebhookClient {
    pub(crate) async fn connect(receiver: SocketAddr) -> Self {
        let stream = TcpStream::connect(receiver).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// Posts the message with this number. The receiver must accept it.
    pub(crate) async fn post(&mut self, number: u64) {
        let (body, signature) = webhook(number);
        let request = Request::post(PATH)
            .header(header::HOST, "sms.example.com")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("X-Twilio-Signature", signature)
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let response = self.0.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.unwrap();
    }
}

pub(crate) fn sid(number: u64) -> String {
    format!("SM{number:032x}")
}

/// Returns a webhook of about 600 bytes that makes two items, and its signature.
fn webhook(message: u64) -> (String, String) {
    let sid = sid(message);
    let from = number(message % USERS);
    let parameters: Vec<(String, String)> = [
        ("ToCountry", "US"),
        ("ToState", "CA"),
        ("SmsMessageSid", &sid),
        ("NumMedia", "0"),
        ("ToCity", "SAN FRANCISCO"),
        ("FromZip", "94107"),
        ("SmsSid", &sid),
        ("FromState", "CA"),
        ("SmsStatus", "received"),
        ("FromCity", "SAN FRANCISCO"),
        ("Body", "Met Ana at #RustConf: she builds databases, likes long walks, and is in town until Friday"),
        ("FromCountry", "US"),
        ("To", "+15559870000"),
        ("ToZip", "94105"),
        ("NumSegments", "1"),
        ("MessageSid", &sid),
        ("AccountSid", ACCOUNT),
        ("From", &from),
        ("ApiVersion", "2010-04-01"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let signature = twilio::signature::sign(TOKEN, &format!("{PUBLIC}{PATH}"), &parameters);
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(&parameters)
        .finish();
    (body, signature)
}
