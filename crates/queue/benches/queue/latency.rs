//! From the enqueuer's commit to the handler's first line, on an idle system.

use std::time::{Duration, Instant};

use queue::{Attempt, Job, JobError, Runner, Settings, Waker};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{report::Report, rig::Rig};

const JOBS: usize = 500;

#[derive(Serialize, Deserialize)]
struct Ping {}

impl Job for Ping {
    const NAME: &'static str = "ping";
    type Deps = mpsc::UnboundedSender<Instant>;

    async fn run(&self, started: &Self::Deps, _: &Attempt) -> Result<(), JobError> {
        started.send(Instant::now()).map_err(JobError::discard)
    }
}

pub(crate) async fn run(rig: &Rig, report: &mut Report) {
    println!("latency");
    rig.clear().await;
    let (sender, mut started) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let runner =
        Runner::new(rig.pool.clone(), Settings::new("latency")).register::<Ping>(sender, 10);
    let runner = tokio::spawn(runner.run(stop.clone()));
    let waker = Waker::start(rig.pool.clone());
    let mut conn = rig.pool.acquire().await.unwrap();
    let mut took = Vec::new();
    for n in 0..JOBS {
        queue::enqueue(&mut conn, &Ping {}).await.unwrap();
        let committed = Instant::now();
        waker.wake();
        took.push(
            started
                .recv()
                .await
                .unwrap()
                .saturating_duration_since(committed),
        );
        // An idle system, at no particular moment of its timers.
        tokio::time::sleep(Duration::from_millis(20 + (n as u64 * 7) % 23)).await;
    }
    stop.cancel();
    runner.await.unwrap();
    took.sort_unstable();
    let at = |percent: usize| took[JOBS * percent / 100 - 1].as_secs_f64() * 1000.0;
    report.line(
        "idle latency, commit to handler",
        format!("p50 {:.1} ms, p99 {:.1} ms", at(50), at(99)),
        "",
    );
    report.figure("latency_p50_ms", at(50));
    report.figure("latency_p99_ms", at(99));
}
