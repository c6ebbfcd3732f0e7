//! The measurements. They are the same for every queue.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    no_op::{NoOpHandler, NoOpJobs},
    peer::QueuePeer,
};

/// How many jobs one call of a bulk enqueue takes.
const BULK: u64 = 1000;

/// Connections of a process that enqueues from one task, or works.
const CONNECTIONS: u32 = 20;

pub(crate) async fn enqueue_single<P: QueuePeer>(
    url: &str,
    clients: u32,
    seconds: f64,
) -> anyhow::Result<()> {
    let peer = P::connect(url, clients).await?;
    let jobs = NoOpJobs::new()?;
    peer.enqueue(jobs.sent_now(0)).await?; // opens a connection and prepares the statement
    let (start, duration) = (Instant::now(), Duration::from_secs_f64(seconds));
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let (peer, jobs) = (peer.clone(), jobs.clone());
        tasks.spawn(async move {
            let mut enqueued = 0_u64;
            while start.elapsed() < duration {
                peer.enqueue(jobs.sent_now(0)).await?;
                enqueued += 1;
            }
            anyhow::Ok(enqueued)
        });
    }
    let mut enqueued = 0;
    while let Some(of_client) = tasks.join_next().await {
        enqueued += of_client??;
    }
    print_figure("enqueue_single", enqueued, start.elapsed());
    Ok(())
}

pub(crate) async fn enqueue_bulk<P: QueuePeer>(url: &str, jobs: u64) -> anyhow::Result<()> {
    let (peer, factory) = (P::connect(url, CONNECTIONS).await?, NoOpJobs::new()?);
    let start = Instant::now();
    let mut first = 0;
    while first < jobs {
        let end = jobs.min(first + BULK);
        let batch = (first..end).map(|number| factory.sent_now(number));
        peer.enqueue_many(batch.collect()).await?;
        first = end;
    }
    print_figure("enqueue_bulk", jobs, start.elapsed());
    Ok(())
}

pub(crate) async fn drain<P: QueuePeer>(url: &str, jobs: u64, limit: f64) -> anyhow::Result<()> {
    let peer = P::connect(url, CONNECTIONS).await?;
    let handler = NoOpHandler::counting();
    let (start, limit) = (Instant::now(), Duration::from_secs_f64(limit));
    let _worker = peer.start(handler.clone()).await?;
    while handler.started() < jobs && start.elapsed() < limit {
        sleep(Duration::from_millis(2)).await;
    }
    while start.elapsed() < limit && peer.has_unfinished().await? {
        sleep(Duration::from_millis(10)).await;
    }
    print_figure("drain", handler.started().min(jobs), start.elapsed());
    // The worker is not stopped in order. Some queues wait for seconds then.
    std::process::exit(0);
}

pub(crate) async fn work<P: QueuePeer>(url: &str, hold: bool) -> anyhow::Result<()> {
    let peer = P::connect(url, CONNECTIONS).await?;
    let _worker = peer.start(NoOpHandler::printing(hold)).await?;
    println!("{}", json!({ "ready": true }));
    std::future::pending::<()>().await;
    Ok(())
}

pub(crate) async fn ping<P: QueuePeer>(url: &str, jobs: u64) -> anyhow::Result<()> {
    let (peer, factory) = (P::connect(url, CONNECTIONS).await?, NoOpJobs::new()?);
    for number in 0..jobs {
        // At no particular moment of a worker's timers.
        sleep(Duration::from_millis(rand::random_range(50..150))).await;
        peer.enqueue(factory.sent_now(number)).await?;
    }
    // A notification may still be on its way.
    sleep(Duration::from_secs(1)).await;
    Ok(())
}

fn print_figure(figure: &str, jobs: u64, took: Duration) {
    println!(
        "{}",
        json!({ "figure": figure, "jobs": jobs, "seconds": took.as_secs_f64() })
    );
}
