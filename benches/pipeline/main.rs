//! `cargo bench -p pigeonhole --bench pipeline` measures the path from webhook to committed items.
//! All parts are real and durable. For comparison, `pgbench` does the same to the same rows, one
//! message at a time.
//!
//! Clients, receiver, worker and Postgres share one machine, so compare the ratios. The benchmark
//! prints a table and writes `target/bench/pipeline.json`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark's output; a failure may end it"
)]

mod harness;
mod load;
mod pgbench;
#[path = "../common/process.rs"]
mod process;
#[path = "../common/setup.rs"]
mod setup;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;

use self::{
    harness::PipelineHarness,
    load::{WebhookClient, WebhookLoad, sid},
    pgbench::PgbenchProgram,
};

const SECONDS: u64 = 10;

/// The first seconds of a load are not measured: the backlog grows to its limit.
const WARM: Duration = Duration::from_secs(3);

const ROUNDS: usize = 3;

/// The number of messages in progress. The steady rate is the rate at which messages end while this
/// many are in progress.
const BACKLOG: u64 = 1000;

fn main() {
    if let Some((role, url)) = harness::child() {
        harness::serve(role, &url);
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let harness = PipelineHarness::start().await;
        let numbers = Arc::new(AtomicU64::new(u64::from(rand::random::<u32>()) << 20));
        pgbench::prepare(&harness.pgbench_pool).await;
        steady(&harness, &numbers, Duration::from_secs(2)).await; // warms everything up
        settle(&harness).await;
        let (_, sealed_bytes) = harness.account().await;
        for program in [PgbenchProgram::Plain, PgbenchProgram::Functions] {
            tokio::task::block_in_place(|| pgbench::run(&harness, program, sealed_bytes, 2));
        }

        println!("| round | pipeline | one by one: plain | ratio | our functions | ratio | backlog, begin to end |");
        println!("| --- | --- | --- | --- | --- | --- | --- |");
        let mut rounds = Vec::new();
        for round in 1..=ROUNDS {
            // Alternate, so that a drift of the machine's speed affects both.
            let [plain, functions] = [PgbenchProgram::Plain, PgbenchProgram::Functions].map(|program| {
                tokio::task::block_in_place(|| pgbench::run(&harness, program, sealed_bytes, SECONDS))
            });
            let (per_s, from, to) = steady(&harness, &numbers, Duration::from_secs(SECONDS)).await;
            settle(&harness).await;
            println!(
                "| {round} | {per_s:.0}/s | {plain:.0}/s | {:.2} | {functions:.0}/s | {:.2} | {from} to {to} |",
                per_s / plain,
                per_s / functions,
            );
            rounds.push((per_s, plain, functions));
        }
        rounds.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
        let (per_s, plain, functions) = rounds[ROUNDS / 2];

        let half = per_s / 2.0;
        let (p50, p99, most) = latency(&harness, &numbers, half).await;
        settle(&harness).await;
        let (idle, idle_99, _) = latency(&harness, &numbers, 0.0).await;
        let [receiver, worker] = harness.peaks_mib();
        println!("\nanswer to items at {half:.0}/s: p50 {p50:.1} ms, p99 {p99:.1} ms, most {most:.1} ms");
        println!("the same on the idle system: p50 {idle:.1} ms, p99 {idle_99:.1} ms");
        println!("memory, most so far: receiver {receiver} MiB, worker {worker} MiB");
        println!("items: {}", harness.account().await.0);
        let figures = json!({
            "per_s": per_s, "plain_per_s": plain, "functions_per_s": functions, "ratio": per_s / plain,
            "half_rate_p50_ms": p50, "half_rate_p99_ms": p99, "idle_p50_ms": idle, "idle_p99_ms": idle_99,
            "worker_peak_mib": worker, "receiver_peak_mib": receiver,
        });
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench");
        fs::create_dir_all(folder).unwrap();
        let text = serde_json::to_string_pretty(&figures).unwrap();
        fs::write(format!("{folder}/pipeline.json"), text).unwrap();
    });
}

/// Returns the messages that end per second while [`BACKLOG`] are in progress, and the number that
/// waited at the start and at the end.
async fn steady(
    harness: &PipelineHarness,
    numbers: &Arc<AtomicU64>,
    during: Duration,
) -> (f64, i64, i64) {
    let load = WebhookLoad::start(harness.receiver, numbers);
    let started = Instant::now();
    let mut begin = None;
    loop {
        let waiting = harness.backlog().await;
        let ended = load.answered().saturating_sub(waiting.unsigned_abs());
        if begin.is_none() && started.elapsed() >= WARM {
            begin = Some((Instant::now(), ended, waiting));
        }
        if let Some((since, before, from)) = begin
            && since.elapsed() >= during
        {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let messages = (ended - before) as f64;
            let per_s = messages / since.elapsed().as_secs_f64();
            load.finish().await;
            return (per_s, from, waiting);
        }
        let sent = waiting.unsigned_abs() + load.allowed() as u64;
        load.allow(usize::try_from(BACKLOG.saturating_sub(sent)).unwrap());
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

/// Under a load of `per_s` messages a second, measures the time from the answer to a webhook until
/// another connection sees its items. Returns the median, the 99th percentile and the maximum, in
/// milliseconds.
async fn latency(
    harness: &PipelineHarness,
    numbers: &Arc<AtomicU64>,
    per_s: f64,
) -> (f64, f64, f64) {
    let load = WebhookLoad::start(harness.receiver, numbers);
    let during = Duration::from_secs(SECONDS * 2);
    let mut took = Vec::new();
    let sampler = async {
        let mut client = WebhookClient::connect(harness.receiver).await;
        let mut conn = harness.pool.acquire().await.unwrap();
        tokio::time::sleep(WARM).await;
        let started = Instant::now();
        while started.elapsed() + WARM < during {
            let number = numbers.fetch_add(1, Ordering::Relaxed);
            client.post(number).await;
            let answered = Instant::now();
            let ended = "select state <> 'received' from pigeonhole.inbound_messages where message_sid = $1";
            let sid = sid(number);
            while !sqlx::query_scalar::<_, bool>(ended)
                .bind(&sid)
                .fetch_one(&mut *conn)
                .await
                .unwrap()
            {
                tokio::time::sleep(Duration::from_micros(500)).await;
            }
            took.push(answered.elapsed().as_secs_f64() * 1000.0);
            tokio::time::sleep(Duration::from_millis(5 + number * 7 % 11)).await;
        }
    };
    tokio::join!(load.pace(per_s, during), sampler);
    let backlog = harness.backlog().await;
    load.finish().await;
    assert!(backlog < 2000, "the backlog grew to {backlog} at {per_s}/s");
    took.sort_by(f64::total_cmp);
    let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)];
    (at(50), at(99), at(100))
}

/// Waits until all messages have ended and the server has written its changes to disk.
async fn settle(harness: &PipelineHarness) {
    while harness.backlog().await > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for pool in [&harness.pool, &harness.pgbench_pool] {
        sqlx::raw_sql("checkpoint").execute(pool).await.unwrap();
    }
}
