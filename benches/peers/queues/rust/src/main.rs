//! Measures one queue: `queues PEER COMMAND`, on the database that `DATABASE_URL` names.
//!
//! The programs beside this one, in JavaScript and Python, take the same commands. Each command
//! prints lines of JSON, which `../../run` reads. [`peer::QueuePeer`] is what a queue must be able
//! to do; there is one file a queue, with its settings and where its authors advise them.

mod apalis;
mod awa;
mod graphile_worker;
mod measure;
mod no_op;
mod peer;
mod pigeonhole;
mod river;

use clap::{Parser, Subcommand, ValueEnum};

use peer::QueuePeer;

/// Measures one queue on the database that `DATABASE_URL` names.
#[derive(Debug, Parser)]
struct Cli {
    #[arg(value_enum)]
    peer: PeerName,
    #[command(subcommand)]
    command: PeerCommand,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PeerName {
    Pigeonhole,
    Riverqueue,
    Awa,
    #[value(name = "apalis-postgres")]
    Apalis,
    #[value(name = "graphile_worker")]
    GraphileWorker,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum PeerCommand {
    /// Make the queue's tables
    Setup,
    /// Enqueue one job a call from each of so many clients for so many seconds
    EnqueueSingle { clients: u32, seconds: f64 },
    /// Enqueue so many jobs, a thousand a call
    EnqueueBulk { jobs: u64 },
    /// Run the jobs that are there and stop the clock when the last one is marked as done
    Drain {
        jobs: u64,
        /// Give up after so many seconds
        limit: f64,
    },
    /// Run jobs until this process is killed, and print a line for each one that starts
    Work {
        /// No job ever ends
        #[arg(long)]
        hold: bool,
    },
    /// Enqueue so many jobs one by one, with 50 to 150 ms between them
    Ping { jobs: u64 },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Cli { peer, command } = Cli::parse();
    match peer {
        PeerName::Pigeonhole => run::<pigeonhole::Pigeonhole>(command).await,
        PeerName::Riverqueue => run::<river::River>(command).await,
        PeerName::Awa => run::<awa::Awa>(command).await,
        PeerName::Apalis => run::<apalis::Apalis>(command).await,
        PeerName::GraphileWorker => run::<graphile_worker::GraphileWorker>(command).await,
    }
}

async fn run<P: QueuePeer>(command: PeerCommand) -> anyhow::Result<()> {
    let url = std::env::var("DATABASE_URL")?;
    match command {
        PeerCommand::Setup => P::setup(&url).await,
        PeerCommand::EnqueueSingle { clients, seconds } => {
            measure::enqueue_single::<P>(&url, clients, seconds).await
        }
        PeerCommand::EnqueueBulk { jobs } => measure::enqueue_bulk::<P>(&url, jobs).await,
        PeerCommand::Drain { jobs, limit } => measure::drain::<P>(&url, jobs, limit).await,
        PeerCommand::Work { hold } => measure::work::<P>(&url, hold).await,
        PeerCommand::Ping { jobs } => measure::ping::<P>(&url, jobs).await,
    }
}
