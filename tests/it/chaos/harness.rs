//! The system of a scenario, its faults, and the checks at the end.

use std::time::{Duration, Instant};

use embedded_postgres::{PostgresServer, PostgresSettings};
use rustix::process::Signal;
use sqlx::Executor;
use tokio::task::block_in_place;
use twilio_simulator::WebhookSender;

use super::{
    backlog_monitor::BacklogMonitor,
    effect_log::{EffectLog, EffectTotals},
};
use crate::{
    database::Database,
    load::{DeliveryResults, MessageLoad},
    process::Process,
    wait::PATIENCE,
};

const LEASE: Duration = Duration::from_secs(2);

/// The longest that a job may wait for a worker, even if its worker was killed or frozen.
const LONGEST_WAIT: Duration = LEASE.saturating_add(Duration::from_secs(5));

/// All work that existed at a fault must be done within this time, on a busy machine too. The
/// messages that arrived during the fault must be processed as well.
const LONGEST_RECOVERY: Duration = Duration::from_secs(20);

pub(super) const WORKERS: usize = 3;

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
pub(super) const LONG_EFFECTS: &str = "
    create or replace function slow_down() returns trigger language plpgsql as $$
    begin
        perform pg_sleep(case when random() < 0.003 then 1.5 else random() * 0.03 end);
        return null;
    end $$;";

const GRACE_SECONDS: &str = "1";

/// A named worker, which consists of one process after another.
pub(super) struct ChaosWorker {
    pub(super) name: String,
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

pub(super) struct ChaosHarness {
    scenario: &'static str,
    pub(super) server: PostgresServer,
    pub(super) database: Database,
    effect_log: EffectLog,
    pub(super) twilio: WebhookSender,
    /// Only `None` while it is being replaced.
    receiver: Option<Process>,
    pub(super) workers: Vec<ChaosWorker>,
    figures: ChaosTotals,
}

impl ChaosHarness {
    pub(super) async fn start(scenario: &'static str) -> Self {
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
    pub(super) async fn under_load(&self) -> (MessageLoad, BacklogMonitor) {
        let load = MessageLoad::start(&self.twilio, SENDERS);
        for worker in &self.workers {
            self.effect_log.claims_again(&worker.known_as(), 0).await;
        }
        let monitor = BacklogMonitor::start(self.database.pool.clone(), LEASE, load.held());
        (load, monitor)
    }

    pub(super) async fn kill_worker(&mut self, at: usize) {
        self.replace_worker(at, |old| {
            old.kill();
            async {}
        })
        .await;
        self.figures.kills += 1;
    }

    /// Sends SIGTERM. The process must stop gracefully, and another process of this name replaces
    /// it.
    pub(super) async fn restart_worker(&mut self, at: usize) {
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
    pub(super) async fn freeze_worker(&mut self, at: usize) {
        let worker = &self.workers[at];
        worker.process.signal(Signal::STOP);
        let longer = Duration::from_millis(rand::random_range(100..1000));
        tokio::time::sleep(LEASE + longer).await;
        worker.process.signal(Signal::CONT);
        self.figures.freezes += 1;
    }

    pub(super) async fn kill_receiver(&mut self) {
        // The receiver must have exited before its replacement can listen on the same address.
        self.receiver.take().unwrap().kill();
        let (receiver, _) = Process::receiver("receiver", &self.database.settings).await;
        self.receiver = Some(receiver);
        self.figures.receiver_kills += 1;
    }

    /// Crashes Postgres, and starts it again after `away`.
    pub(super) async fn crash_postgres(&mut self, away: Duration) {
        block_in_place(|| self.server.stop_immediate()).unwrap();
        tokio::time::sleep(away).await;
        block_in_place(|| self.server.start_again()).unwrap();
        self.figures.crashes += 1;
    }

    /// Waits until all work that existed at the fault is done. It may take at most
    /// [`LONGEST_RECOVERY`] from `since`.
    pub(super) async fn recover(&mut self, since: Instant, fault: String) {
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
    pub(super) async fn wait_for_claims_of(&self, at: usize) {
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

    pub(super) fn pids(&self) -> Vec<u32> {
        let workers = self.workers.iter().map(|worker| &worker.process);
        workers.chain(&self.receiver).map(Process::id).collect()
    }

    /// Ends the load, checks everything, and prints the figures.
    pub(super) async fn finish(
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
