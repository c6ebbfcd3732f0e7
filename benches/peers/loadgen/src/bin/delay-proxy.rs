//! A TCP proxy that makes a server look far away: it delays what it forwards, in both directions,
//! and now and then stalls a connection, as a lost packet does until it is sent again.
//!
//! The order of bytes is kept, and any number of chunks is on its way at once. So a proxy adds a
//! round trip, but no limit of throughput.

use std::{io, net::SocketAddr, time::Duration};

use clap::Parser;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::{Instant, sleep_until},
};

/// Forwards connections with a delay.
#[derive(Debug, Parser)]
struct Options {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    server: SocketAddr,
    /// One way, in milliseconds
    #[arg(long, default_value_t = 5.0)]
    delay_ms: f64,
    /// The share of chunks that stall their connection
    #[arg(long, default_value_t = 0.0)]
    stall_share: f64,
    #[arg(long, default_value_t = 2000.0)]
    stall_ms: f64,
}

/// How long a chunk takes.
#[derive(Clone, Copy)]
struct Distance {
    delay: Duration,
    stall_share: f64,
    stall: Duration,
}

impl Distance {
    fn of_a_chunk(&self) -> Duration {
        if rand::random_bool(self.stall_share) {
            self.delay + self.stall
        } else {
            self.delay
        }
    }
}

/// Bytes on their way.
struct Chunk {
    arrives: Instant,
    bytes: Vec<u8>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    anyhow::ensure!(
        (0.0..=1.0).contains(&options.stall_share),
        "--stall-share is not between 0 and 1"
    );
    let distance = Distance {
        delay: Duration::from_secs_f64(options.delay_ms / 1e3),
        stall_share: options.stall_share,
        stall: Duration::from_secs_f64(options.stall_ms / 1e3),
    };
    let listener = TcpListener::bind(options.listen).await?;
    loop {
        let (client, _) = listener.accept().await?;
        tokio::spawn(async move {
            // A connection that breaks ends for both sides: its halves are dropped.
            if let Err(error) = forward(client, options.server, distance).await {
                eprintln!("delay-proxy: {error}");
            }
        });
    }
}

async fn forward(client: TcpStream, server: SocketAddr, distance: Distance) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::try_join!(
        one_way(from_client, to_server, distance),
        one_way(from_server, to_client, distance),
    )?;
    Ok(())
}

async fn one_way(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    distance: Distance,
) -> io::Result<()> {
    let (on_their_way, mut arriving) = mpsc::unbounded_channel::<Chunk>();
    let read = async move {
        let mut last = Instant::now();
        loop {
            let mut bytes = Vec::with_capacity(64 * 1024);
            if from.read_buf(&mut bytes).await? == 0 {
                return io::Result::Ok(()); // drops the sender, which ends the other side in time
            }
            // A chunk behind a stalled one arrives no earlier.
            last = last.max(Instant::now() + distance.of_a_chunk());
            let chunk = Chunk {
                arrives: last,
                bytes,
            };
            if on_their_way.send(chunk).is_err() {
                return Ok(());
            }
        }
    };
    let write = async move {
        while let Some(chunk) = arriving.recv().await {
            sleep_until(chunk.arrives).await;
            to.write_all(&chunk.bytes).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(read, write)?;
    Ok(())
}
