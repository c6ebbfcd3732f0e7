//! The network between the program and Postgres, which can stall.

use std::{net::SocketAddr, path::PathBuf};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixStream},
    sync::watch,
};

/// Passes connections on to the socket of Postgres.
pub(super) struct StallingProxy {
    pub(super) addr: SocketAddr,
    stalled: watch::Sender<bool>,
}

impl StallingProxy {
    pub(super) async fn start(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stalled = watch::Sender::new(false);
        let switch = stalled.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (socket, switch) = (socket.clone(), switch.clone());
                tokio::spawn(async move {
                    // Without a server, the client's connection closes.
                    let Ok(server) = UnixStream::connect(socket).await else {
                        return;
                    };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::select! {
                        () = pass_on(from_client, to_server, switch.clone()) => {}
                        () = pass_on(from_server, to_client, switch) => {}
                    }
                });
            }
        });
        Self { addr, stalled }
    }

    /// While it is stalled, nothing passes and no connection ends.
    pub(super) fn stall(&self, stalled: bool) {
        self.stalled.send_replace(stalled);
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
