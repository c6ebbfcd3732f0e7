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
use hyper::{Request, body::Bytes, header};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

use crate::setup::{ACCOUNT, PUBLIC, TOKEN};

const PATH: &str = "/api/sms/webhook";

/// The result of one run.
pub(crate) struct LoadResult {
    pub(crate) per_s: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

pub(crate) async fn run(receiver: SocketAddr, connections: usize, during: Duration) -> LoadResult {
    let number = Arc::new(AtomicU64::new(rand::random::<u32>().into()));
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        clients.spawn(client(receiver, number.clone(), started + during));
    }
    let mut took: Vec<Duration> = clients.join_all().await.into_iter().flatten().collect();
    let elapsed = started.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |percent: usize| {
        took[(took.len() * percent / 100).min(took.len() - 1)].as_secs_f64() * 1000.0
    };
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let per_s = took.len() as f64 / elapsed;
    LoadResult {
        per_s,
        p50_ms: at(50),
        p99_ms: at(99),
    }
}

async fn client(receiver: SocketAddr, number: Arc<AtomicU64>, until: Instant) -> Vec<Duration> {
    let stream = TcpStream::connect(receiver).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut took = Vec::new();
    while Instant::now() < until {
        let (body, signature) = webhook(number.fetch_add(1, Ordering::Relaxed));
        let request = Request::post(PATH)
            .header(header::HOST, "sms.example.com")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("X-Twilio-Signature", signature)
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let sent = Instant::now();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.unwrap();
        took.push(sent.elapsed());
    }
    took
}

/// Returns a webhook of about 600 bytes from one of a thousand senders, and its signature.
fn webhook(number: u64) -> (String, String) {
    let sid = format!("SM{number:032x}");
    let from = format!("+1202555{:04}", number % 1000);
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
