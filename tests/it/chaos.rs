//! Faults under load: real webhooks, a real receiver and three real workers on their own Postgres.
//! A restarted worker keeps its name. At the end every accepted message must have taken effect
//! exactly once.
//!
//! A few rounds of each scenario run with the other tests. `script/chaos` runs more: `CHAOS_ROUNDS`
//! sets the number.

#![expect(clippy::print_stdout, reason = "the figures of a long run")]

mod backlog_monitor;
mod effect_log;
mod harness;

use std::time::{Duration, Instant};

use rand::seq::SliceRandom;
use sqlx::Executor;

use self::harness::{ChaosHarness, LONG_EFFECTS, WORKERS};
use crate::{
    settings::test_run_variable,
    wait::{PATIENCE, eventually},
};

/// The number of rounds of a scenario: this share of the requested rounds, or the short default.
fn rounds(share: usize, short: usize) -> usize {
    test_run_variable("CHAOS_ROUNDS").map_or(short, |rounds| {
        let rounds: usize = rounds.parse().expect("CHAOS_ROUNDS is a number");
        (rounds / share).max(1)
    })
}

/// Each fault equally often, in random order.
fn at_random<F: Copy>(faults: &[F], rounds: usize) -> Vec<F> {
    let mut all = Vec::new();
    while all.len() < rounds {
        let mut next = faults.to_vec();
        next.shuffle(&mut rand::rng());
        all.extend(next);
    }
    all.truncate(rounds);
    all
}

#[derive(Debug, Clone, Copy)]
enum ChaosFault {
    KillWorker,
    FreezeWorker,
    KillReceiver,
    CrashPostgres,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_frozen_workers_cause_every_effect_exactly_once() {
    let rounds = rounds(1, 4);
    let mut harness = ChaosHarness::start("workers").await;
    let (load, monitor) = harness.under_load().await;
    let faults = at_random(&[ChaosFault::KillWorker, ChaosFault::FreezeWorker], rounds);
    for (round, fault) in (1..).zip(faults) {
        let at = rand::random_range(0..WORKERS);
        let since = Instant::now();
        match fault {
            ChaosFault::KillWorker => harness.kill_worker(at).await,
            _ => harness.freeze_worker(at).await,
        }
        let name = &harness.workers[at].name;
        let what = format!("round {round}, {fault:?} {name}");
        harness.recover(since, what).await;
        harness.wait_for_claims_of(at).await;
    }
    let (answered, _) = harness.finish(load, monitor, rounds).await;
    assert_eq!(
        answered.refused, 0,
        "the receiver has nothing to do with workers"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_crashes_lose_no_message_and_end_no_process() {
    let rounds = rounds(4, 3);
    let mut harness = ChaosHarness::start("postgres").await;
    let (load, monitor) = harness.under_load().await;
    let pids = harness.pids();
    for round in 1..=rounds {
        let before = load.accepted();
        eventually("more messages are accepted", PATIENCE, async || {
            (load.accepted() > before + 20).then_some(())
        })
        .await;
        let away = Duration::from_millis(rand::random_range(0..1500));
        harness.crash_postgres(away).await;
        let what = format!("round {round}, a crash of Postgres, away for {away:?}");
        harness.recover(Instant::now(), what).await;
    }
    assert_eq!(harness.pids(), pids);
    harness.finish(load, monitor, rounds).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_restarts_cost_no_attempt() {
    let rounds = rounds(2, WORKERS);
    let mut harness = ChaosHarness::start("restarts").await;
    harness
        .database
        .pool
        .execute(sqlx::raw_sql(LONG_EFFECTS))
        .await
        .unwrap();
    let (load, monitor) = harness.under_load().await;
    for round in 1..=rounds {
        let at = round % WORKERS;
        let since = Instant::now();
        harness.restart_worker(at).await;
        let what = format!("round {round}, restart of {}", harness.workers[at].name);
        harness.recover(since, what).await;
        harness.wait_for_claims_of(at).await;
    }
    let (answered, account) = harness.finish(load, monitor, rounds).await;
    assert_eq!(answered.refused, 0);
    // Each claim either ended its job or was returned at no cost.
    assert_eq!(account.most_attempts, 1);
    assert_eq!(account.orphaned, 0);
    assert_eq!(account.claims, account.ended + account.put_back);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_accepted_message_is_lost_whichever_process_is_killed() {
    const FAULTS: [ChaosFault; 4] = [
        ChaosFault::KillWorker,
        ChaosFault::FreezeWorker,
        ChaosFault::KillReceiver,
        ChaosFault::CrashPostgres,
    ];
    let rounds = rounds(5, FAULTS.len());
    let mut harness = ChaosHarness::start("everything").await;
    let (load, monitor) = harness.under_load().await;
    for (round, fault) in (1..).zip(at_random(&FAULTS, rounds)) {
        let at = rand::random_range(0..WORKERS);
        let mut since = Instant::now();
        match fault {
            ChaosFault::KillWorker => harness.kill_worker(at).await,
            ChaosFault::FreezeWorker => harness.freeze_worker(at).await,
            ChaosFault::KillReceiver => harness.kill_receiver().await,
            ChaosFault::CrashPostgres => {
                // Sometimes this is shorter than the receiver's deadline, sometimes longer.
                let away = Duration::from_millis(rand::random_range(0..3000));
                harness.crash_postgres(away).await;
                since = Instant::now();
            }
        }
        let what = format!("round {round}, {fault:?}");
        harness.recover(since, what).await;
    }
    harness.finish(load, monitor, rounds).await;
}
