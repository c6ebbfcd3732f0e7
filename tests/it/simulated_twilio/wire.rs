//! Responses that no HTTP server sends on purpose, byte by byte.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use twilio::rest::{CreateError, SendRefusal, Unclear};

use super::{ANA, client_at, send, soon};

const CREATED: &str = r#"{"sid":"SM0123456789abcdef0123456789abcdef","status":"queued"}"#;

/// Reads one request to the end of its body.
async fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    let ends = |request: &[u8]| {
        let text = String::from_utf8_lossy(request).to_lowercase();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head
            .split("content-length: ")
            .nth(1)?
            .split("\r\n")
            .next()?;
        Some(body.len() >= length.parse::<usize>().ok()?)
    };
    while ends(&request) != Some(true) {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.unwrap();
        assert!(read > 0, "the request ended early");
        request.extend_from_slice(&chunk[..read]);
    }
}

fn whole(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

/// Responds to each connection's first request with these bytes, and then closes or keeps it.
/// Reports each connection.
async fn answering(bytes: Vec<u8>, keep: bool) -> (String, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (connected, connections) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connected.send(()).unwrap();
            read_request(&mut stream).await;
            // The client may close the connection before it has read everything.
            let _seen_enough = stream.write_all(&bytes).await;
            if keep {
                kept.push(stream);
            }
        }
    });
    (base, connections)
}

#[tokio::test]
async fn a_broken_response_is_unclear_unless_its_status_excludes_a_message() {
    let lost = CreateError::Unclear(Unclear::ConnectionLost);
    let odd = |status| CreateError::Unclear(Unclear::UnexpectedAnswer(status));
    let refused = CreateError::Refused {
        status: 400,
        code: None,
        reason: SendRefusal::Other,
    };
    let cut = |status: &str| {
        let mut bytes = whole(status, CREATED);
        bytes.truncate(bytes.len() - 1);
        bytes
    };
    let endless = whole("201 Created", &" ".repeat(5 * 1024 * 1024));
    for (bytes, expected) in [
        (Vec::new(), lost.clone()),
        (b"HTTP/1.1 2".to_vec(), lost.clone()),
        (b"220 smtp.example.com ESMTP\r\n".to_vec(), lost.clone()),
        (cut("201 Created"), lost),
        (cut("400 Bad Request"), refused),
        (
            cut("500 Oh"),
            CreateError::Unclear(Unclear::ServerError(500)),
        ),
        (whole("201 Created", ""), odd(201)),
        (whole("201 Created", "{}"), odd(201)),
        (
            whole("201 Created", r#"{"sid":"SM1","status":"queued"}"#),
            odd(201),
        ),
        (endless, odd(201)),
    ] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        let (base, mut connections) = answering(bytes, false).await;
        let answer = send(&client_at(&base), ANA, "hello").await;
        assert_eq!(answer, Err(expected), "{shown:?}");
        soon(connections.recv()).await.unwrap();
        assert!(
            connections.try_recv().is_err(),
            "{shown:?} made it ask again"
        );
    }
}

#[tokio::test]
async fn each_request_uses_its_own_connection() {
    // The other side may close a kept connection just when the client reuses it.
    let (base, mut connections) = answering(whole("201 Created", CREATED), true).await;
    let client = client_at(&base);
    for _ in 0..3 {
        send(&client, ANA, "hello").await.unwrap();
        connections.try_recv().expect("a new connection");
    }
}
