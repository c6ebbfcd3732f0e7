//! Enqueueing: one job a commit, from one client and from sixteen, and in batches.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    floor,
    report::Report,
    setup::{BenchDatabase, NoOp, PAYLOAD, jobs, pool},
};

const SECONDS: u32 = 5;
const ROUNDS: usize = 3;

pub(crate) async fn run(bench: &BenchDatabase, report: &mut Report) {
    println!("enqueue");
    floor::prepare(bench).await;
    for clients in [1, 16] {
        // In turn, so that a drift of the machine meets both.
        let mut ratios = Vec::new();
        let (mut best_ours, mut best_floor) = (0.0_f64, 0.0_f64);
        for _ in 0..ROUNDS {
            bench.clear().await;
            let bare = tokio::task::block_in_place(|| floor::inserts(bench, clients, SECONDS));
            let ours = singly(bench, clients).await;
            ratios.push(ours / bare);
            best_ours = best_ours.max(ours);
            best_floor = best_floor.max(bare);
        }
        ratios.sort_by(f64::total_cmp);
        let ratio = ratios[ROUNDS / 2];
        report.line(
            &format!("enqueue singly, {clients} clients"),
            format!("{best_ours:.0} jobs/s"),
            format!("pgbench insert {best_floor:.0}/s; median ratio {ratio:.2}"),
        );
        report.figure(&format!("enqueue_{clients}_clients_ratio"), ratio);
        report.figure(&format!("enqueue_{clients}_clients_per_s"), best_ours);
    }
    for batch in [100, 1000] {
        bench.clear().await;
        let rate = batched(bench, batch).await;
        report.line(
            &format!("enqueue {batch} a statement"),
            format!("{rate:.0} jobs/s"),
            "",
        );
        report.figure(&format!("enqueue_batch_{batch}_per_s"), rate);
    }
}

async fn singly(bench: &BenchDatabase, clients: u32) -> f64 {
    let pool = pool(&bench.url, clients).await;
    let done = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let (pool, done, stop) = (pool.clone(), done.clone(), stop.clone());
        tasks.spawn(async move {
            let mut conn = pool.acquire().await.unwrap();
            let job = NoOp {
                payload: "x".repeat(PAYLOAD),
            };
            while !stop.load(Ordering::Relaxed) {
                queue::enqueue(&mut conn, &job).await.unwrap();
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(SECONDS.into())).await;
    stop.store(true, Ordering::Relaxed);
    tasks.join_all().await;
    #[expect(clippy::cast_precision_loss, reason = "a count of seconds' work")]
    let rate = done.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
    rate
}

async fn batched(bench: &BenchDatabase, batch: u32) -> f64 {
    let batch_jobs = jobs(batch as usize, Duration::ZERO);
    let mut conn = bench.pool.acquire().await.unwrap();
    let (mut done, started) = (0.0, Instant::now());
    while started.elapsed() < Duration::from_secs(SECONDS.into()) {
        queue::enqueue_all(&mut conn, &batch_jobs).await.unwrap();
        done += f64::from(batch);
    }
    done / started.elapsed().as_secs_f64()
}
