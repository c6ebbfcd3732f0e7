//! The network between the program and Postgres, which can stall.

use std::{net::SocketAddr, path::PathBuf, thread};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixStream},
    runtime,
    sync::watch,
};

/// Passes connections on to the socket of Postgres. It has a thread of its own, so that what the
/// simulated Twilio does meanwhile does not slow it down.
pub(super) struct StallingProxy {
    pub(super) addr: SocketAddr,
    stalled: watch::Sender<bool>,
}

impl StallingProxy {
    pub(super) fn start(socket: PathBuf) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let stalled = watch::Sender::new(false);
        let switch = stalled.subscribe();
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        thread::spawn(move || runtime.block_on(accept(listener, socket, switch)));
        Self { addr, stalled }
    }

    /// While it is stalled, nothing passes and no connection ends.
    pub(super) fn stall(&self, stalled: bool) {
        self.stalled.send_replace(stalled);
    }
}

async fn accept(listener: std::net::TcpListener, socket: PathBuf, stalled: watch::Receiver<bool>) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((client, _)) = listener.accept().await {
        let (socket, stalled) = (socket.clone(), stalled.clone());
        tokio::spawn(async move {
            // Without a server, the client's connection closes.
            let Ok(server) = UnixStream::connect(socket).await else {
                return;
            };
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::select! {
                () = pass_on(from_client, to_server, stalled.clone()) => {}
                () = pass_on(from_server, to_client, stalled) => {}
            }
        });
    }
}

/// Copies until one side closes.
async fn pass_on(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut stalled: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut bytes).await else {
            return;
        };
        if stalled.wait_for(|stalled| !stalled).await.is_err()
            || to.write_all(&bytes[..read]).await.is_err()
        {
            return;
        }
    }
}
