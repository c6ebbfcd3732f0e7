//! From the enqueuer's commit to the handler's first line: on an idle system, and beside a backlog
//! of another lane.

use std::time::{Duration, Instant};

use queue::{Attempt, Job, JobArgs, JobError, NewJob, Runner, RunnerSettings, Waker};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{report::Report, setup::BenchDatabase};

const JOBS: usize = 400;
const BACKLOG: usize = 100_000;

/// How long a job of the backlog waits, as one that writes to a database does.
const WORK: Duration = Duration::from_millis(2);

#[derive(Serialize, Deserialize)]
struct Ping {
    of_the_backlog: bool,
}

impl JobArgs for Ping {
    const NAME: &'static str = "ping";
}

impl Job<mpsc::UnboundedSender<Instant>> for Ping {
    async fn run(
        &self,
        started: &mpsc::UnboundedSender<Instant>,
        _: &Attempt,
    ) -> Result<(), JobError> {
        if self.of_the_backlog {
            tokio::time::sleep(WORK).await;
            return Ok(());
        }
        started.send(Instant::now()).map_err(JobError::discard)
    }
}

pub(crate) async fn run(bench: &BenchDatabase, report: &mut Report) {
    println!("latency");
    bench.clear().await;
    let (idle_p50, idle_p99) = measure(bench).await;
    report.line(
        "idle latency, commit to handler",
        format!("p50 {idle_p50:.1} ms, p99 {idle_p99:.1} ms"),
        "",
    );
    report.figure("latency_p50_ms", idle_p50);
    report.figure("latency_p99_ms", idle_p99);

    bench.clear().await;
    fill_lane(bench).await;
    let (p50, p99) = measure(bench).await;
    let left: i64 = sqlx::query_scalar("select count(*) from queue.jobs")
        .fetch_one(&bench.pool)
        .await
        .unwrap();
    report.line(
        "the same beside another lane's backlog of 100k",
        format!("p50 {p50:.1} ms, p99 {p99:.1} ms"),
        format!(
            "{:.1} and {:.1} times the idle figures; {left} of the backlog left",
            p50 / idle_p50,
            p99 / idle_p99
        ),
    );
    report.figure("fair_latency_p50_ratio", p50 / idle_p50);
    report.figure("fair_latency_p99_ratio", p99 / idle_p99);
}

async fn fill_lane(bench: &BenchDatabase) {
    let job = NewJob::of(&Ping {
        of_the_backlog: true,
    })
    .unwrap()
    .lane("flood");
    let mut conn = bench.pool.acquire().await.unwrap();
    for _ in 0..BACKLOG / 1000 {
        queue::enqueue_all(&mut conn, &vec![job.clone(); 1000])
            .await
            .unwrap();
    }
}

/// The median and the 99th percentile, in milliseconds.
async fn measure(bench: &BenchDatabase) -> (f64, f64) {
    let (sender, mut started) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let runner = Runner::new(bench.pool.clone(), RunnerSettings::new("latency"))
        .register::<Ping, _>(sender, 20);
    let runner = tokio::spawn(runner.run(stop.clone()));
    let waker = Waker::start(&bench.pool);
    let mut conn = bench.pool.acquire().await.unwrap();
    let mut took = Vec::new();
    for n in 0..JOBS {
        let job = NewJob::of(&Ping {
            of_the_backlog: false,
        })
        .unwrap()
        .lane(format!("lane {n}"));
        queue::enqueue_all(&mut conn, &[job]).await.unwrap();
        let committed = Instant::now();
        waker.wake();
        took.push(
            started
                .recv()
                .await
                .unwrap()
                .saturating_duration_since(committed),
        );
        // At no particular moment of the runner's timers.
        tokio::time::sleep(Duration::from_millis(20 + (n as u64 * 7) % 23)).await;
    }
    stop.cancel();
    runner.await.unwrap().unwrap();
    took.sort_unstable();
    let at = |percent: usize| took[JOBS * percent / 100 - 1].as_secs_f64() * 1000.0;
    (at(50), at(99))
}
