//! A proxy to the database that counts statements and can lose responses.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
};

/// Loses the responses to the first `to_lose` commits, together with their connections.
pub(crate) struct Way {
    to_lose: AtomicUsize,
    asked: AtomicUsize,
    socket: String,
}

impl Way {
    /// Opens a proxy to the database at `url`. Returns its address.
    pub(crate) async fn open(url: &str, to_lose: usize) -> (Arc<Self>, String) {
        let (_, rest) = url.split_once('@').unwrap();
        let (host, rest) = rest.split_once(':').unwrap();
        let (port, database) = rest.split_once('/').unwrap();
        let way = Arc::new(Self {
            to_lose: AtomicUsize::new(to_lose),
            asked: AtomicUsize::new(0),
            socket: format!("{}/.s.PGSQL.{port}", host.replace("%2F", "/")),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = way.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(shared.clone().carry(client));
            }
        });
        let url = format!("postgres://postgres@{address}/{database}?sslmode=disable");
        (way, url)
    }

    async fn carry(self: Arc<Self>, mut client: TcpStream) {
        let mut server = UnixStream::connect(&self.socket).await.unwrap();
        let (mut asked, mut answered) = ([0; 8192], [0; 8192]);
        let mut lose = false;
        loop {
            tokio::select! {
                count = client.read(&mut asked) => {
                    let sent = &asked[..count.unwrap_or(0)];
                    if sent.is_empty() {
                        return;
                    }
                    // What begins a statement. Preparing one, once a connection, is none, and
                    // neither is the ping with which sqlx ends the use of a connection.
                    if matches!(sent[0], b'B' | b'Q') {
                        self.asked.fetch_add(1, Ordering::SeqCst);
                    }
                    lose = sent.windows(7).any(|text| text == b"COMMIT\0") && self.is_unlucky();
                    server.write_all(sent).await.unwrap();
                }
                count = server.read(&mut answered) => {
                    let answer = &answered[..count.unwrap_or(0)];
                    if answer.is_empty() || lose || client.write_all(answer).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn is_unlucky(&self) -> bool {
        let less = |left: usize| left.checked_sub(1);
        let (set, fetch) = (Ordering::SeqCst, Ordering::SeqCst);
        self.to_lose.fetch_update(set, fetch, less).is_ok()
    }

    pub(crate) fn has_lost_all(&self) -> bool {
        self.to_lose.load(Ordering::SeqCst) == 0
    }

    /// The number of statements so far.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}
