//! A file server with the responses of a test.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use tokio::{net::TcpListener, task::JoinHandle};

/// The response to one request.
#[derive(Clone)]
pub(crate) enum FileAnswer {
    /// Responds with these bytes.
    File(Bytes),
    /// Responds with these bytes, without a `Content-Length`.
    Unsized(Bytes),
    /// Responds with this `Content-Length` and an endless body.
    Announces(u64),
    /// Responds with half of these bytes and then closes the connection.
    Cut(Bytes),
    /// Sends a byte from time to time.
    Drip,
    /// Redirects to this URL.
    Redirect(String),
    /// Responds with this status and `Retry-After`.
    Status(u16, Option<&'static str>),
}

/// A request that the server received.
#[derive(Debug, Clone)]
pub(crate) struct FileRequest {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
}

/// A file server. If a path has several answers, the server gives them in order and repeats the
/// last.
pub(crate) struct FileServer {
    pub(crate) addr: SocketAddr,
    known: Arc<FileServerState>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct FileServerState {
    answers: Mutex<HashMap<String, Vec<FileAnswer>>>,
    requests: Mutex<Vec<FileRequest>>,
}

impl FileServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let known = Arc::<FileServerState>::default();
        let router = axum::Router::new()
            .fallback(answer)
            .with_state(known.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            addr,
            known,
            serving,
        }
    }

    pub(crate) fn answers(&self, path: &str, answers: impl IntoIterator<Item = FileAnswer>) {
        let answers = answers.into_iter().collect();
        self.known
            .answers
            .lock()
            .unwrap()
            .insert(path.to_owned(), answers);
    }

    pub(crate) fn requests(&self) -> Vec<FileRequest> {
        self.known.requests.lock().unwrap().clone()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(State(known): State<Arc<FileServerState>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    known.requests.lock().unwrap().push(FileRequest {
        method: request.method().clone(),
        path: path.clone(),
        headers: request.headers().clone(),
    });
    let answer = {
        let mut answers = known.answers.lock().unwrap();
        match answers.get_mut(&path) {
            None => FileAnswer::Status(404, None),
            Some(answers) if answers.len() > 1 => answers.remove(0),
            Some(answers) => answers[0].clone(),
        }
    };
    match answer {
        FileAnswer::File(bytes) => bytes.into_response(),
        FileAnswer::Unsized(bytes) => {
            let chunks: Vec<_> = bytes
                .chunks(7000)
                .map(Bytes::copy_from_slice)
                .map(sent)
                .collect();
            Body::from_stream(stream::iter(chunks)).into_response()
        }
        FileAnswer::Announces(length) => {
            let endless = stream::repeat_with(|| sent(Bytes::from_static(&[0; 8192])));
            let body = Body::from_stream(endless);
            ([(header::CONTENT_LENGTH, length)], body).into_response()
        }
        FileAnswer::Cut(bytes) => {
            let half = bytes.slice(..bytes.len() / 2);
            let cut = stream::iter([sent(half), Err(std::io::Error::other("cut"))]);
            (
                [(header::CONTENT_LENGTH, bytes.len())],
                Body::from_stream(cut),
            )
                .into_response()
        }
        FileAnswer::Drip => {
            let drops = stream::unfold((), async |()| {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Some((sent(Bytes::from_static(b"\xff\xd8\xff")), ()))
            });
            Body::from_stream(drops).into_response()
        }
        FileAnswer::Redirect(location) => (
            StatusCode::TEMPORARY_REDIRECT,
            [(header::LOCATION, location)],
        )
            .into_response(),
        FileAnswer::Status(status, None) => StatusCode::from_u16(status).unwrap().into_response(),
        FileAnswer::Status(status, Some(wait)) => {
            let status = StatusCode::from_u16(status).unwrap();
            (status, [(header::RETRY_AFTER, wait)]).into_response()
        }
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "what a stream of a body is made of"
)]
fn sent(bytes: Bytes) -> std::io::Result<Bytes> {
    Ok(bytes)
}
