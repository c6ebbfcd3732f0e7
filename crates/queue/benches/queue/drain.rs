//! Draining a backlog of jobs that do nothing: what the queue itself costs.

use std::{
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use queue::JobArgs;
use tokio_util::sync::CancellationToken;

use crate::{
    floor,
    report::Report,
    setup::{self, BenchDatabase, CHILD, NoOp},
};

const JOBS: usize = 100_000;
const MILLION: usize = 1_000_000;

/// What a drain took.
struct Drained {
    per_s: f64,
    server_us: f64,
    own_us: f64,
}

impl Drained {
    fn figure(&self) -> String {
        format!("{:.0} jobs/s", self.per_s)
    }

    fn cost(&self) -> String {
        format!(
            "Postgres {:.0} µs, worker {:.0} µs a job",
            self.server_us, self.own_us
        )
    }
}

/// One process, an otherwise idle machine.
pub(crate) async fn one_process(bench: &BenchDatabase, report: &mut Report) {
    println!("drain");
    floor::prepare(bench).await;
    sqlx::query("truncate floor")
        .execute(&bench.pool)
        .await
        .unwrap();
    sqlx::query(
        "insert into floor (kind, args)
         select 'no_op', json_build_object('payload', repeat('x', 600)) from generate_series(1, 100000)",
    )
    .execute(&bench.pool)
    .await
    .unwrap();
    let bare = tokio::task::block_in_place(|| floor::deletes(bench, 100_000));
    let mut runs = Vec::new();
    for _ in 0..3 {
        bench.clear().await;
        bench.fill(JOBS, Duration::ZERO).await;
        runs.push(drain(bench).await);
    }
    runs.sort_by(|a, b| a.per_s.total_cmp(&b.per_s));
    let median = &runs[1];
    report.line("drain of 100k, one process", median.figure(), median.cost());
    report.line(
        "floor: pgbench deletes 500 a statement",
        format!("{bare:.0} rows/s"),
        "",
    );
    report.figure("drain_per_s", median.per_s);
    report.figure("drain_server_us", median.server_us);
    report.figure("drain_worker_us", median.own_us);
    let (_, peak) = setup::own_usage();
    report.line(
        "memory of this process, most so far",
        format!("{} MiB", peak / 1024),
        "",
    );
}

/// Two worker processes on one queue.
pub(crate) async fn two_processes(bench: &BenchDatabase, report: &mut Report) {
    println!("processes");
    bench.clear().await;
    bench.fill(JOBS, Duration::ZERO).await;
    let started = Instant::now();
    let mut children: Vec<_> = (0..2)
        .map(|_| {
            let mut child = Command::new(std::env::current_exe().unwrap());
            child
                .env(CHILD, &bench.url)
                .stdin(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    wait_until_empty(bench).await;
    let per_s = count(JOBS) / started.elapsed().as_secs_f64();
    for child in &mut children {
        drop(child.stdin.take()); // which stops it
        child.wait().unwrap();
    }
    report.line(
        "drain of 100k, two processes, their start included",
        format!("{per_s:.0} jobs/s"),
        "",
    );
    report.figure("drain_two_processes_per_s", per_s);
}

/// A worker process, until its standard input ends.
pub(crate) async fn child(url: &str) {
    let pool = setup::pool(url, 10).await;
    let stop = CancellationToken::new();
    let runner = tokio::spawn(setup::runner(&pool, &Arc::default()).run(stop.clone()));
    tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin()))
        .await
        .unwrap()
        .unwrap();
    stop.cancel();
    runner.await.unwrap().unwrap();
}

/// A million scheduled jobs and a million dead letters beside the ready ones.
pub(crate) async fn beside_a_backlog(bench: &BenchDatabase, report: &mut Report) {
    println!("backlog");
    bench.clear().await;
    bench.fill(JOBS, Duration::ZERO).await;
    let alone = drain(bench).await;
    fill_backlog(bench).await;
    bench.fill(JOBS, Duration::ZERO).await;
    let beside = drain(bench).await;
    let ratio = beside.per_s / alone.per_s;
    report.line(
        "drain of 100k beside 1M scheduled and 1M dead",
        beside.figure(),
        format!("alone {}; ratio {ratio:.2}", alone.figure()),
    );
    report.figure("backlog_ratio", ratio);
}

/// The same while a session holds a snapshot for a minute in which jobs go on, in one worker
/// process.
pub(crate) async fn under_an_old_snapshot(bench: &BenchDatabase, report: &mut Report) {
    println!("snapshot");
    bench.clear().await;
    fill_backlog(bench).await;
    let done = Arc::new(AtomicU64::new(0));
    let stop = CancellationToken::new();
    let runner = tokio::spawn(bench.runner(&done).run(stop.clone()));
    let mut before = Vec::new();
    for _ in 0..3 {
        before.push(drain_running(bench, &done).await);
    }
    before.sort_by(f64::total_cmp);
    let before = before[1];

    let mut old = bench.pool.begin().await.unwrap();
    sqlx::query("set transaction isolation level repeatable read")
        .execute(&mut *old)
        .await
        .unwrap();
    sqlx::query("select count(*) from queue.paused")
        .execute(&mut *old)
        .await
        .unwrap();
    let since = Instant::now();
    let mut rates = Vec::new();
    while since.elapsed() < Duration::from_mins(1) {
        rates.push(drain_running(bench, &done).await);
    }
    drop(old);
    stop.cancel();
    runner.await.unwrap().unwrap();
    let count = rates.len();
    let last = rates[count - 1];
    rates.sort_by(f64::total_cmp);
    let (worst, median) = (rates[0], rates[count / 2]);
    report.line(
        "drains of 100k during 60 s under a held snapshot, 1M scheduled",
        format!("median {median:.0} jobs/s"),
        format!(
            "before {before:.0}; ratio {:.2}; last of {count} {last:.0}, worst {worst:.0}",
            median / before
        ),
    );
    report.figure("snapshot_ratio", median / before);
    report.figure("snapshot_last_ratio", last / before);
}

/// Jobs a second of 100k that a running runner finds all at once.
async fn drain_running(bench: &BenchDatabase, done: &Arc<AtomicU64>) -> f64 {
    let mut conn = bench.pool.acquire().await.unwrap();
    queue::admin::pause(&mut conn, NoOp::NAME, None)
        .await
        .unwrap();
    bench.fill(JOBS, Duration::ZERO).await;
    let (before, started) = (done.load(Ordering::Relaxed), Instant::now());
    queue::admin::resume(&mut conn, NoOp::NAME).await.unwrap();
    while done.load(Ordering::Relaxed) < before + JOBS as u64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    count(JOBS) / started.elapsed().as_secs_f64()
}

async fn fill_backlog(bench: &BenchDatabase) {
    bench.fill(MILLION, Duration::from_hours(24)).await;
    sqlx::query(
        "insert into queue.dead_jobs
             (id, kind, reason, created_at, attempts, max_attempts, priority, args, last_error)
         select -n, 'no_op', 'discarded', now(), 1, 12, 0, '{}', 'refused' from generate_series(1, $1) n",
    )
    .bind(i32::try_from(MILLION).unwrap())
    .execute(&bench.pool)
    .await
    .unwrap();
    // What is measured is a drain beside a backlog, not the aftermath of filling it.
    for settle in ["vacuum analyze queue.jobs, queue.dead_jobs", "checkpoint"] {
        sqlx::query(settle).execute(&bench.pool).await.unwrap();
    }
}

/// Runs a runner until the ready jobs are gone.
async fn drain(bench: &BenchDatabase) -> Drained {
    let done = Arc::new(AtomicU64::new(0));
    let stop = CancellationToken::new();
    let (own, _) = setup::own_usage();
    let server = bench.server_cpu();
    let started = Instant::now();
    let runner = tokio::spawn(bench.runner(&done).run(stop.clone()));
    while done.load(Ordering::Relaxed) < JOBS as u64 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stop.cancel();
    runner.await.unwrap().unwrap(); // every outcome is written
    let took = started.elapsed();
    let per_job = |time: Duration| time.as_secs_f64() * 1e6 / count(JOBS);
    Drained {
        per_s: count(JOBS) / took.as_secs_f64(),
        server_us: per_job(bench.server_cpu().saturating_sub(server)),
        own_us: per_job(setup::own_usage().0.saturating_sub(own)),
    }
}

/// Waits until every outcome is written: nothing but far timers is left.
async fn wait_until_empty(bench: &BenchDatabase) {
    loop {
        let left: i64 = sqlx::query_scalar(
            "select (select count(*) from (select from queue.jobs where ready limit 1) r)
                  + (select count(*) from (select from queue.jobs where not ready
                        and run_at < now() + interval '1 hour' limit 1) t)",
        )
        .fetch_one(&bench.pool)
        .await
        .unwrap();
        if left == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(n: usize) -> f64 {
    n as f64
}
