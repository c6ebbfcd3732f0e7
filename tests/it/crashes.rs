//! A worker is killed between its claim and its commit: the items are stored exactly once, whatever
//! the worker had done.
//!
//! Database locks hold the worker at the chosen statement, so the program needs no hook.

use std::time::{Duration, Instant};

use pigeonhole::{
    config::{DatabaseConfig, Reader},
    services::Role,
};
use sqlx::{Connection, Executor, PgConnection, postgres::PgPool};

use crate::{
    app::TestApp,
    database::Database,
    process::Process,
    wait::{PATIENCE, eventually},
};

const LEASE: Duration = Duration::from_secs(2);

const LEASE_LOST: &str = "job cancelled: its lease was lost";

const VALUES: [&str; 2] = ["Met Ana #once", "once"];

/// A message and a worker that is blocked while it processes the message.
struct HeldWorker {
    app: TestApp,
    sid: String,
    worker: Process,
    /// The connection that holds the lock.
    blocker: PgConnection,
    backend: i32,
}

impl HeldWorker {
    /// Takes the lock with `lock`, and waits until the worker is blocked in a statement that
    /// contains `statement`.
    async fn at(prepare: &'static str, lock: &'static str, statement: &str) -> Self {
        Self::with_lease(LEASE, prepare, lock, statement).await
    }

    async fn with_lease(
        lease: Duration,
        prepare: &'static str,
        lock: &'static str,
        statement: &str,
    ) -> Self {
        let database = Database::create()
            .await
            .with("JOB_LEASE_SECONDS", lease.as_secs().to_string());
        Self::on(database, prepare, lock, statement).await
    }

    async fn on(
        database: Database,
        prepare: &'static str,
        lock: &'static str,
        statement: &str,
    ) -> Self {
        let app = TestApp::on(database, Role::Receiver).await;
        let sid = app.deliver(VALUES[0]).await;
        app.pool.execute(sqlx::raw_sql(prepare)).await.unwrap();
        let mut blocker = PgConnection::connect(app.settings.get("DATABASE_URL"))
            .await
            .unwrap();
        blocker.execute(sqlx::raw_sql(lock)).await.unwrap();
        let worker = Process::start("worker", &app.settings);
        let backend = waiting_backend(&app.pool, statement).await;
        Self {
            app,
            sid,
            worker,
            blocker,
            backend,
        }
    }

    /// Ends the transaction that holds the lock.
    async fn release(&mut self) {
        self.blocker.execute("rollback").await.unwrap();
    }

    /// Claims the job as another worker does after the lease has expired.
    async fn claim_for_another(&self) {
        let done = sqlx::query(
            "update queue.jobs set claim = claim + 1, run_at = now() + interval '1 hour'",
        )
        .execute(&self.app.pool)
        .await
        .unwrap();
        assert_eq!(done.rows_affected(), 1);
    }

    async fn assert_nothing_yet(&self) {
        assert_eq!(self.app.state(&self.sid).await.as_deref(), Some("received"));
        assert!(self.app.items(&self.sid).await.is_empty());
    }

    /// Kills the worker, runs `then`, starts another worker, and waits for the expected result.
    async fn kill(self, then: impl AsyncFnOnce(&mut PgConnection, i32)) {
        let Self {
            app,
            sid,
            worker,
            mut blocker,
            backend,
        } = self;
        worker.kill();
        let killed = Instant::now();
        then(&mut blocker, backend).await;
        let mut second = Process::start("worker", &app.settings);
        let left = (LEASE * 2).saturating_sub(killed.elapsed());
        assert_eq!(app.wait_until_ended_within(&sid, left).await, "processed");
        app.drain().await;
        // The killed worker's backend may still be running a statement.
        eventually("the old backend has exited", PATIENCE, async || {
            let alive: Option<i32> =
                sqlx::query_scalar("select pid from pg_stat_activity where pid = $1")
                    .bind(backend)
                    .fetch_optional(&app.pool)
                    .await
                    .unwrap();
            alive.is_none().then_some(())
        })
        .await;
        assert_eq!(app.values(&sid).await, VALUES);
        let rows = app.rows().await;
        assert_eq!((rows.messages, rows.items), (1, 2));
        assert_eq!((rows.jobs, rows.dead), (0, 0));
        assert!(second.is_running());
    }
}

/// The backend that waits for a lock in a statement that contains this text.
async fn waiting_backend(pool: &PgPool, statement: &str) -> i32 {
    eventually("the worker waits for the lock", PATIENCE, async || {
        sqlx::query_scalar(
            "select pid from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock' and strpos(query, $1) > 0",
        )
        .bind(statement)
        .fetch_optional(pool)
        .await
        .unwrap()
    })
    .await
}

async fn rollback(blocker: &mut PgConnection, _: i32) {
    blocker.execute("rollback").await.unwrap();
}

const LOCK_MESSAGES: &str =
    "begin; lock table pigeonhole.inbound_messages in access exclusive mode";
const LOCK_ITEMS: &str = "begin; lock table enrichment_items in share row exclusive mode";
const LOCK_ROW: &str = "begin; select from pigeonhole.inbound_messages for update";
const LOCK_GATE: &str = "begin; select pg_advisory_xact_lock(1)";

/// The statements that open a message, store its reservation, and finish it.
const OPEN: &str = "pigeonhole.open_messages_v3(";
const RESERVE: &str = "pigeonhole.reserve_starts(";
const FINISH: &str = "pigeonhole.finish_messages(";

/// Blocks the statement that ends a job, after it has written the items, until the advisory lock is
/// free.
const GATE_AFTER_ITEMS: &str = "
    create function gate() returns trigger language plpgsql as $$
    begin
        perform pg_advisory_xact_lock_shared(1);
        return null;
    end $$;
    create trigger gate after insert on enrichment_items for each statement execute function gate();";

/// Blocks the commit that ends a job until the advisory lock is free.
const GATE_AT_COMMIT: &str = "
    create function gate() returns trigger language plpgsql as $$
    begin
        perform pg_advisory_xact_lock_shared(1);
        return null;
    end $$;
    create constraint trigger gate after delete on queue.jobs deferrable initially deferred
        for each row execute function gate();";

#[tokio::test]
async fn a_worker_killed_while_it_loads_the_message_is_replaced_within_two_leases() {
    let held = HeldWorker::at("", LOCK_MESSAGES, OPEN).await;
    held.kill(rollback).await;
}

#[tokio::test]
async fn a_worker_killed_while_it_stores_the_reservation_is_replaced_within_two_leases() {
    // Without a burst, every message needs a reservation.
    let database = Database::create()
        .await
        .with("JOB_LEASE_SECONDS", LEASE.as_secs().to_string())
        .with("RATE_LIMIT_BURST", "1");
    let held = HeldWorker::on(database, "", LOCK_ROW, RESERVE).await;
    held.assert_nothing_yet().await;
    held.kill(rollback).await;
}

#[tokio::test]
async fn a_worker_killed_while_it_writes_items_is_replaced_within_two_leases() {
    let held = HeldWorker::at("", LOCK_ITEMS, FINISH).await;
    held.assert_nothing_yet().await;
    held.kill(rollback).await;
}

#[tokio::test]
async fn a_worker_killed_after_it_wrote_items_is_replaced_within_two_leases() {
    let held = HeldWorker::at(GATE_AFTER_ITEMS, LOCK_GATE, FINISH).await;
    held.assert_nothing_yet().await;
    held.kill(rollback).await;
}

#[tokio::test]
async fn a_killed_workers_commit_may_still_succeed_and_then_no_worker_repeats_it() {
    let held = HeldWorker::at(GATE_AT_COMMIT, LOCK_GATE, FINISH).await;
    held.assert_nothing_yet().await;
    held.kill(rollback).await;
}

#[tokio::test]
async fn a_worker_killed_during_a_commit_that_fails_is_replaced_within_two_leases() {
    let held = HeldWorker::at(GATE_AT_COMMIT, LOCK_GATE, FINISH).await;
    held.assert_nothing_yet().await;
    held.kill(async |blocker, backend| {
        sqlx::query("select pg_terminate_backend($1, 5000)")
            .bind(backend)
            .execute(&mut *blocker)
            .await
            .unwrap();
        rollback(blocker, backend).await;
    })
    .await;
}

#[tokio::test]
async fn a_worker_paused_past_its_lease_changes_nothing_when_it_resumes() {
    use rustix::process::Signal;

    // Its backend is blocked in a read, so it holds no lock that others need.
    let mut held = HeldWorker::at("", LOCK_MESSAGES, OPEN).await;
    held.worker.signal(Signal::STOP);
    held.release().await;
    let second = Process::start("worker", &held.app.settings);
    let state = held.app.wait_until_ended_within(&held.sid, LEASE * 2).await;
    assert_eq!(state, "processed");
    let before = held.app.items(&held.sid).await;
    drop(second);

    held.worker.signal(Signal::CONT);
    held.worker.wait_for_line(LEASE_LOST, PATIENCE).await;
    let next = held.app.deliver("It goes on").await;
    assert_eq!(held.app.wait_until_ended(&next).await, "processed");
    let after = held.app.items(&held.sid).await;
    assert_eq!(format!("{after:?}"), format!("{before:?}"));
    assert_eq!(held.app.rows().await.dead, 0);
    assert!(held.worker.is_running());
}

#[tokio::test]
async fn a_worker_unaware_of_its_lost_lease_cannot_commit() {
    // With this long lease, the worker does not renew it before its commit, and so does not notice
    // the loss.
    let lease = Duration::from_mins(5);
    let mut held = HeldWorker::with_lease(lease, "", LOCK_ITEMS, FINISH).await;
    held.claim_for_another().await;
    held.release().await;
    held.worker.wait_for_line(LEASE_LOST, PATIENCE).await;
    held.assert_nothing_yet().await;

    sqlx::query("update queue.jobs set run_at = now()")
        .execute(&held.app.pool)
        .await
        .unwrap();
    assert_eq!(held.app.wait_until_ended(&held.sid).await, "processed");
    assert_eq!(held.app.values(&held.sid).await, VALUES);
}

#[tokio::test]
async fn a_worker_that_loses_its_lease_stops_working_on_the_job() {
    let held = HeldWorker::at("", LOCK_ITEMS, FINISH).await;
    held.claim_for_another().await;
    held.app.leaves.live("process_message", 1);
    // The lock is still held. The worker learns of the loss when it renews the lease, within a
    // third of the lease.
    held.worker.wait_for_line(LEASE_LOST, LEASE).await;
    held.assert_nothing_yet().await;
}

#[tokio::test]
async fn a_worker_frozen_within_a_statement_blocks_no_other_worker() {
    use rustix::process::Signal;

    let mut held = HeldWorker::at("", LOCK_ROW, FINISH).await;
    held.worker.signal(Signal::STOP);
    held.release().await;
    let _second = Process::start("worker", &held.app.settings);
    let state = held.app.wait_until_ended_within(&held.sid, LEASE * 2).await;
    assert_eq!(state, "processed");
    held.worker.signal(Signal::CONT);
    let next = held.app.deliver("It goes on").await;
    assert_eq!(held.app.wait_until_ended(&next).await, "processed");
    held.app.drain().await;
    assert_eq!(held.app.values(&held.sid).await, VALUES);
    assert_eq!(held.app.rows().await.dead, 0);
    assert!(held.worker.is_running());
}

#[tokio::test]
async fn a_process_frozen_within_its_transaction_does_not_block_the_job_for_long() {
    let app = TestApp::receiver_only().await;
    let sid = app.deliver(VALUES[0]).await;
    let config = Reader::read(&app.settings.env(), DatabaseConfig::read).unwrap();
    let mut frozen = pigeonhole::database::pool(&config).begin().await.unwrap();
    sqlx::raw_sql("select from pigeonhole.inbound_messages for update")
        .execute(&mut *frozen)
        .await
        .unwrap();
    let _worker = Process::start("worker", &app.settings);
    waiting_backend(&app.pool, FINISH).await;
    let limit = Duration::from_secs(10);
    assert_eq!(app.wait_until_ended_within(&sid, limit).await, "processed");
    assert_eq!(app.values(&sid).await, VALUES);
}
