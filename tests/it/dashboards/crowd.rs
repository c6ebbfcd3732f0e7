//! More concurrent webhooks than a receiver queues.

use std::net::SocketAddr;

use pigeonhole::descriptors::raise_limit;
use rustix::process::{Resource, getrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use twilio::signature;

use crate::{
    app::text,
    database::NUMBER,
    settings::{ProgramSettings, WEBHOOK},
    webhook::{FORM, encode},
};

/// More connections than the receiver queues and processes at once.
const CONNECTIONS: usize = 3500;

/// Descriptors for these connections and for the tests that run at the same time.
const DESCRIPTORS: u64 = 6000;

/// Connections that send one webhook after another. Dropping it ends them.
pub(super) struct ConnectionCrowd {
    _senders: JoinSet<()>,
}

impl ConnectionCrowd {
    /// Whether this user may open this many connections. Prints a notice if not.
    pub(super) fn is_allowed() -> bool {
        raise_limit();
        let limit = getrlimit(Resource::Nofile).current;
        if limit.is_some_and(|limit| limit < DESCRIPTORS) {
            eprintln!(
                "SKIPPED: more webhooks than a receiver takes, as this user may not have {DESCRIPTORS} descriptors"
            );
            return false;
        }
        true
    }

    /// Opens all connections before any of them sends.
    pub(super) async fn connect(settings: &ProgramSettings) -> Self {
        let receiver: SocketAddr = settings.get("LISTEN_ADDR").parse().unwrap();
        let twilio = settings.twilio(receiver);
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let parameters = twilio.parameters(&text(NUMBER, "Me first"));
            let (signature, body) = (settings.sign(&parameters), encode(&parameters));
            let request = format!(
                "POST {WEBHOOK} HTTP/1.1\r\nHost: {receiver}\r\nContent-Type: {FORM}\r\n{}: {signature}\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                signature::HEADER,
                body.len(),
            );
            connections.push((TcpStream::connect(receiver).await.unwrap(), request));
        }
        let mut senders = JoinSet::new();
        for (stream, request) in connections {
            senders.spawn(send_again_and_again(stream, request));
        }
        Self { _senders: senders }
    }
}

/// Ignores the responses, until the receiver closes the connection.
async fn send_again_and_again(mut stream: TcpStream, request: String) {
    let mut answer = [0; 4096];
    while stream.write_all(request.as_bytes()).await.is_ok() {
        // A response is shorter than one packet.
        if stream.read(&mut answer).await.is_ok_and(|bytes| bytes == 0) {
            return;
        }
    }
}
