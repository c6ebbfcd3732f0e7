//! Faults under load: real webhooks, a real receiver and three real workers on their own Postgres.
//! A restarted worker keeps its name. At the end every accepted message must have taken effect
//! exactly once.
//!
//! A few rounds of each scenario run with the other tests. `script/chaos` runs more: `CHAOS_ROUNDS`
//! sets the number.

#![expect(clippy::print_stdout, reason = "the figures of a long run")]

mod backlog_monitor;
mod effect_log;

use std::time::{Duration, Instant};

use embedded_postgres::{PostgresServer, PostgresSettings};
use rand::seq::SliceRandom;
use rustix::process::Signal;
use sqlx::Executor;
use tokio::task::block_in_place;
use twilio_simulator::WebhookSender;

use self::{
    backlog_monitor::BacklogMonitor,
    effect_log::{EffectLog, EffectTotals},
};
use crate::{
    database::Database,
    load::{DeliveryResults, MessageLoad},
    process::Process,
    settings::test_run_variable,
    wait::{PATIENCE, eventually},
};

const LEASE: Duration = Duration::from_secs(2);

/// The longest that a job may wait for a worker, even if its worker was killed or frozen.
const LONGEST_WAIT: Duration = LEASE.saturating_add(Duration::from_secs(5));

/// All work that existed at a fault must be done within this time, on a busy machine too. The
/// messages that arrived during the fault must be processed as well.
const LONGEST_RECOVERY: Duration = Duration::from_secs(20);

const WORKERS: usize = 3;

const SENDERS: usize = 4;

/// This low concurrency makes jobs wait for a permit in the workers.
const CONCURRENCY: &str = "3";

/// Slows the effects down, so that faults hit running jobs at every point of their transactions.
const SLOW_EFFECT: &str = "
    create function slow_down() returns trigger language plpgsql as $$
    begin
        perform pg_sleep(random() * 0.03);
        return null;
    end $$;
    create trigger slow_before before insert on enrichment_items for each statement execute function slow_down();
    create trigger slow_after after insert on enrichment_items for each statement execute function slow_down();";

/// The same, and sometimes an effect that takes longer than the grace period after SIGTERM.
const LONG_EFFECTS: &str = "
    create or replace function slow_down() returns trigger language plpgsql as $$
    begin
        perform pg_sleep(case when random() < 0.003 then 1.5 else random() * 0.03 end);
        return null;
    end $$;";

const GRACE_SECONDS: &str = "1";

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

/// A named worker, which consists of one process after another.
struct ChaosWorker {
    name: String,
    /// The number of its earlier processes.
    earlier: u32,
    process: Process,
}

impl ChaosWorker {
    fn start(name: String, earlier: u32, database: &Database) -> Self {
        let settings = database.settings.clone().with("WORKER_NAME", &name);
        let settings = EffectLog::known_as(&settings, &known_as(&name, earlier));
        Self {
            process: Process::start("worker", &settings),
            name,
            earlier,
        }
    }

    /// The name of this process in the effect log. Each process of a worker has its own.
    fn known_as(&self) -> String {
        known_as(&self.name, self.earlier)
    }
}

fn known_as(name: &str, earlier: u32) -> String {
    format!("{name}.{earlier}")
}

#[derive(Debug, Default)]
struct ChaosTotals {
    kills: u32,
    freezes: u32,
    receiver_kills: u32,
    crashes: u32,
    restarts: u32,
    longest_recovery: Duration,
}

struct ChaosHarness {
    scenario: &'static str,
    server: PostgresServer,
    database: Database,
    effect_log: EffectLog,
    twilio: WebhookSender,
    /// Only `None` while it is being replaced.
    receiver: Option<Process>,
    workers: Vec<ChaosWorker>,
    figures: ChaosTotals,
}

impl ChaosHarness {
    async fn start(scenario: &'static str) -> Self {
        let server =
            block_in_place(|| PostgresServer::start_temporary(PostgresSettings::default()))
                .unwrap();
        let database = Database::create_on(&server)
            .await
            .with("JOB_LEASE_SECONDS", LEASE.as_secs().to_string())
            .with("WORKER_CONCURRENCY", CONCURRENCY)
            .with("SHUTDOWN_GRACE_SECONDS", GRACE_SECONDS)
            // Keeps the logs of a long run short enough to read.
            .with("RUST_LOG", "warn,pigeonhole::services=info");
        database
            .pool
            .execute(sqlx::raw_sql(SLOW_EFFECT))
            .await
            .unwrap();
        let effect_log = EffectLog::open(&database).await;
        let (receiver, addr) = Process::receiver("receiver", &database.settings).await;
        // The next receiver must listen on the same address.
        let database = database.with("LISTEN_ADDR", addr.to_string());
        Self {
            scenario,
            server,
            effect_log,
            twilio: database.settings.twilio(addr),
            receiver: Some(receiver),
            workers: (1..=WORKERS)
                .map(|n| ChaosWorker::start(format!("worker-{n}"), 0, &database))
                .collect(),
            database,
            figures: ChaosTotals::default(),
        }
    }

    /// Starts the load and the monitor, and waits until every worker has processed a job.
    async fn under_load(&self) -> (MessageLoad, BacklogMonitor) {
        let load = MessageLoad::start(&self.twilio, SENDERS);
        for worker in &self.workers {
            self.effect_log.claims_again(&worker.known_as(), 0).await;
        }
        let monitor = BacklogMonitor::start(self.database.pool.clone(), LEASE, load.held());
        (load, monitor)
    }

    async fn kill_worker(&mut self, at: usize) {
        self.replace_worker(at, |old| {
            old.kill();
            async {}
        })
        .await;
        self.figures.kills += 1;
    }

    /// Sends SIGTERM. The process must stop gracefully, and another process of this name replaces
    /// it.
    async fn restart_worker(&mut self, at: usize) {
        self.replace_worker(at, async |mut old: Process| {
            old.signal(Signal::TERM);
            let status = old.ended(PATIENCE).await;
            let log = old.log();
            assert!(status.success(), "{status}:\n{log}");
            assert!(!log.contains("panicked"), "{log}");
            assert!(!log.contains("\"ERROR\""), "{log}");
        })
        .await;
        self.figures.restarts += 1;
    }

    /// Ends the worker's process and starts the next one, which must process jobs.
    async fn replace_worker<F: Future>(&mut self, at: usize, end: impl FnOnce(Process) -> F) {
        let ChaosWorker {
            name,
            earlier,
            process,
        } = self.workers.remove(at);
        end(process).await;
        let next = ChaosWorker::start(name, earlier + 1, &self.database);
        self.workers.insert(at, next);
    }

    /// Stops the process with SIGSTOP until its leases have expired and a random time longer.
    async fn freeze_worker(&mut self, at: usize) {
        let worker = &self.workers[at];
        worker.process.signal(Signal::STOP);
        let longer = Duration::from_millis(rand::random_range(100..1000));
        tokio::time::sleep(LEASE + longer).await;
        worker.process.signal(Signal::CONT);
        self.figures.freezes += 1;
    }

    async fn kill_receiver(&mut self) {
        // The receiver must have exited before its replacement can listen on the same address.
        self.receiver.take().unwrap().kill();
        let (receiver, _) = Process::receiver("receiver", &self.database.settings).await;
        self.receiver = Some(receiver);
        self.figures.receiver_kills += 1;
    }

    /// Crashes Postgres, and starts it again after `away`.
    async fn crash_postgres(&mut self, away: Duration) {
        block_in_place(|| self.server.stop_immediate()).unwrap();
        tokio::time::sleep(away).await;
        block_in_place(|| self.server.start_again()).unwrap();
        self.figures.crashes += 1;
    }

    /// Waits until all work that existed at the fault is done. It may take at most
    /// [`LONGEST_RECOVERY`] from `since`.
    async fn recover(&mut self, since: Instant, fault: String) {
        let then = self.effect_log.now().await;
        while self.effect_log.left_since(then).await > 0 {
            if since.elapsed() > LONGEST_RECOVERY {
                let left = self.effect_log.describe_left_since(then).await;
                panic!("{fault}: stuck:\n{left}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let recovery = since.elapsed();
        self.figures.longest_recovery = self.figures.longest_recovery.max(recovery);
        println!("{}: {fault}: recovered in {recovery:.1?}", self.scenario);
        self.assert_all_processes_run();
    }

    /// Waits until the worker claims another job.
    async fn wait_for_claims_of(&self, at: usize) {
        let end = self.effect_log.end().await;
        let worker = self.workers[at].known_as();
        self.effect_log.claims_again(&worker, end).await;
    }

    fn assert_all_processes_run(&mut self) {
        let workers = self.workers.iter_mut().map(|worker| &mut worker.process);
        for process in workers.chain(&mut self.receiver) {
            assert!(
                process.is_running(),
                "a process exited unexpectedly:\n{}",
                process.log()
            );
            assert!(!process.log().contains("panicked"), "{}", process.log());
        }
    }

    fn pids(&self) -> Vec<u32> {
        let workers = self.workers.iter().map(|worker| &worker.process);
        workers.chain(&self.receiver).map(Process::id).collect()
    }

    /// Ends the load, checks everything, and prints the figures.
    async fn finish(
        mut self,
        load: MessageLoad,
        monitor: BacklogMonitor,
        rounds: usize,
    ) -> (DeliveryResults, EffectTotals) {
        let answered = load.finish().await;
        self.database
            .assert_nothing_is_lost(&answered.accepted)
            .await;
        self.assert_all_processes_run();
        let account = self.effect_log.verify().await;
        assert_eq!(account.jobs, self.database.rows().await.messages);
        let seen = monitor.observations();
        let ChaosTotals {
            kills,
            freezes,
            receiver_kills,
            crashes,
            restarts,
            longest_recovery,
        } = self.figures;
        let EffectTotals {
            ended,
            claims,
            put_back,
            orphaned,
            most_attempts,
            longest_silence,
            refused,
            ..
        } = account;
        // A sequence may skip values after a crash.
        let refused = if crashes == 0 {
            refused.to_string()
        } else {
            "not counted".to_owned()
        };
        println!(
            "figures of {}: {rounds} rounds; {} messages accepted and processed once each, {} refused or unanswered; \
             workers killed {kills}, frozen {freezes}, restarted {restarts}; receivers killed {receiver_kills}; \
             Postgres crashed {crashes}; longest recovery {longest_recovery:.2?}; oldest wait {:.2?} in {} looks; \
             {claims} claims, of which {ended} ended their job, {put_back} were given back, {orphaned} ran out; most \
             attempts {most_attempts}; longest without an entry {longest_silence:.2} s; late writes refused {refused}, \
             done 0",
            self.scenario,
            answered.accepted.len(),
            answered.refused,
            seen.oldest_wait,
            seen.looks,
        );
        assert!(
            seen.oldest_wait <= LONGEST_WAIT,
            "a job waited for {:?}",
            seen.oldest_wait
        );
        // The effect log has every event, except while Postgres was away.
        let silence = Duration::from_secs_f64(longest_silence);
        assert!(crashes > 0 || silence <= LONGEST_WAIT, "{silence:?}");
        (answered, account)
    }
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
