//! The little of HTTP/1.1 that a response to a webhook needs.

use std::io;

use tokio::{io::AsyncReadExt, net::TcpStream};

pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) keeps_alive: bool,
}

/// How the end of a body is found.
enum BodyEnd {
    Length(usize),
    LastChunk,
}

/// Reads one response to its end.
pub(crate) async fn read(stream: &mut TcpStream) -> io::Result<HttpResponse> {
    let mut bytes = Vec::with_capacity(1024);
    let head_len = loop {
        receive(stream, &mut bytes).await?;
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_len]).to_ascii_lowercase();
    let status = head.get(9..12).and_then(|text| text.parse().ok());
    let status = status.ok_or_else(|| broken("the response has no status"))?;
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
    let keeps_alive = header("connection:").map(str::trim) != Some("close");
    let end = if header("transfer-encoding:").is_some() {
        BodyEnd::LastChunk
    } else {
        let length = header("content-length:").and_then(|text| text.trim().parse().ok());
        BodyEnd::Length(head_len + length.unwrap_or(0))
    };
    loop {
        let is_complete = match end {
            BodyEnd::Length(length) => bytes.len() >= length,
            BodyEnd::LastChunk => bytes.ends_with(b"0\r\n\r\n"),
        };
        if is_complete {
            return Ok(HttpResponse {
                status,
                keeps_alive,
            });
        }
        receive(stream, &mut bytes).await?;
    }
}

async fn receive(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    if stream.read_buf(bytes).await? == 0 {
        return Err(broken("the connection was closed"));
    }
    Ok(())
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
