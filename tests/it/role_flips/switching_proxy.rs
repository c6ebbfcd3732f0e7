//! A proxy to Postgres that can turn to another server, close connections, and go silent.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use embedded_postgres::PostgresServer;
use tokio::{
    io::{AsyncReadExt, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
};

/// What happens to connections that are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProxyFault {
    None,
    /// They end.
    Cut,
    /// They stay open, and nothing passes any more.
    Silence,
}

/// A proxy on a port of this machine. It ends with the test's runtime.
pub(super) struct SwitchingProxy {
    port: u16,
    shared: Arc<ProxyState>,
}

struct ProxyState {
    /// The socket of the server that new connections reach. `None`: they are closed at once, as by
    /// a proxy that has no server to connect to.
    target: Mutex<Option<PathBuf>>,
    fault: watch::Sender<ProxyFault>,
    /// The connections that are open and silent.
    silent: AtomicUsize,
}

/// The socket of a server.
fn socket_of(server: &PostgresServer) -> PathBuf {
    let url = server.url("postgres");
    let (_, rest) = url.split_once('@').unwrap();
    let (host, _) = rest.split_once(':').unwrap();
    PathBuf::from(host.replace("%2F", "/")).join(".s.PGSQL.5432")
}

impl SwitchingProxy {
    /// Opens a proxy to this server.
    pub(super) async fn to(server: &PostgresServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(ProxyState {
            target: Mutex::new(Some(socket_of(server))),
            fault: watch::Sender::new(ProxyFault::None),
            silent: AtomicUsize::new(0),
        });
        let accepting = shared.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().carry(client));
            }
        });
        Self { port, shared }
    }

    /// The proxy's address, for a URL.
    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The URL of the database behind the proxy.
    pub(super) fn url(&self) -> String {
        format!("postgres://postgres@{}/pigeonhole", self.address())
    }

    /// New connections reach this server. Those that are open stay where they are.
    pub(super) fn turn_to(&self, server: &PostgresServer) {
        *self.shared.target.lock().unwrap() = Some(socket_of(server));
    }

    /// New connections are closed at once.
    pub(super) fn turn_to_none(&self) {
        *self.shared.target.lock().unwrap() = None;
    }

    /// Ends the connections that are open.
    pub(super) fn cut(&self) {
        self.shared.fault.send_replace(ProxyFault::Cut);
    }

    /// The connections that are open stay open, and nothing passes through them any more. New ones
    /// work.
    pub(super) fn silence(&self) {
        self.shared.fault.send_replace(ProxyFault::Silence);
    }

    /// How many silent connections the clients have not closed yet.
    pub(super) fn silent(&self) -> usize {
        self.shared.silent.load(Ordering::SeqCst)
    }
}

impl ProxyState {
    async fn carry(self: Arc<Self>, mut client: TcpStream) {
        let Some(target) = self.target.lock().unwrap().clone() else {
            return;
        };
        let mut fault = self.fault.subscribe();
        fault.mark_unchanged();
        let Ok(mut server) = UnixStream::connect(target).await else {
            return;
        };
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => return,
            _ = fault.changed() => {}
        }
        if *fault.borrow() == ProxyFault::Silence {
            self.silent.fetch_add(1, Ordering::SeqCst);
            // What arrives is lost, until the client gives up.
            let mut lost = [0; 1024];
            while client.read(&mut lost).await.is_ok_and(|count| count > 0) {}
            self.silent.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
