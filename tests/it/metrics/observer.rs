//! One worker reads the fleet-wide figures from the database. If it exits, another takes over.

use std::{net::SocketAddr, time::Duration};

use rustix::process::Signal;

use super::exposition::Scrape;
use crate::{
    database::Database,
    process::Process,
    wait::{PATIENCE, eventually},
};

/// The longest time until another worker takes over: two observations on a busy machine.
const TAKE_OVER: Duration = Duration::from_secs(20);

/// Starts a worker and returns the address of its metrics.
async fn worker(database: &Database) -> (Process, SocketAddr) {
    let process = Process::start("worker", &database.settings);
    let admin = process.addr("admin listens").await;
    (process, admin)
}

/// 1 for the observer, 0 for another worker.
async fn observes(admin: SocketAddr) -> Option<f64> {
    let scrape = Scrape::of(admin).await;
    let observes = scrape.value("pigeonhole_observer", &[]);
    // A worker that is not the observer must not export these figures, or they would be counted
    // twice.
    let shown = scrape.value("pigeonhole_queue_jobs", &[]).is_some();
    assert_eq!(shown, observes == Some(1.0), "{}", scrape.text);
    observes
}

/// A job that is due in the far future.
async fn schedule_a_job(database: &Database) {
    sqlx::query(
        "insert into queue.jobs (kind, max_attempts, ready, run_at, args)
         values ('cleanup_sends', 3, false, now() + interval '1 day', '{}')",
    )
    .execute(&database.pool)
    .await
    .unwrap();
}

async fn wait_until_observer_is(admin: SocketAddr, observer: f64, limit: Duration) {
    let what = format!("observer {observer}");
    eventually(&what, limit, async || {
        (observes(admin).await == Some(observer)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_of_two_workers_observes_and_the_other_takes_over_after_a_kill() {
    let database = Database::create().await;
    let (first, first_admin) = worker(&database).await;
    wait_until_observer_is(first_admin, 1.0, PATIENCE).await;
    let (_second, second_admin) = worker(&database).await;
    wait_until_observer_is(second_admin, 0.0, PATIENCE).await;
    // The second worker also tries while the first observes twice.
    for scheduled in 1..=2 {
        schedule_a_job(&database).await;
        eventually(
            "the observer reads the database again",
            PATIENCE,
            async || {
                let jobs = [("kind", "cleanup_sends"), ("state", "scheduled")];
                let scrape = Scrape::of(first_admin).await;
                (scrape.value("pigeonhole_queue_jobs", &jobs) == Some(f64::from(scheduled)))
                    .then_some(())
            },
        )
        .await;
    }
    assert_eq!(observes(second_admin).await, Some(0.0));
    assert_eq!(observes(first_admin).await, Some(1.0));
    first.kill();
    wait_until_observer_is(second_admin, 1.0, TAKE_OVER).await;
}

#[tokio::test]
async fn an_observer_that_loses_its_connection_stops_observing_until_it_reconnects() {
    let database = Database::create().await;
    let (process, admin) = worker(&database).await;
    wait_until_observer_is(admin, 1.0, PATIENCE).await;
    let ended: i64 = sqlx::query_scalar(
        "select count(pg_terminate_backend(pid)) from pg_locks
         where locktype = 'advisory' and granted
             and database = (select oid from pg_database where datname = current_database())",
    )
    .fetch_one(&database.pool)
    .await
    .unwrap();
    assert_eq!(ended, 1, "the observer holds the one lock");
    let lost = "stopped observing: the connection was lost";
    process.wait_for_line(lost, TAKE_OVER).await;
    wait_until_observer_is(admin, 1.0, TAKE_OVER).await;
}

#[tokio::test]
async fn a_worker_that_stops_gracefully_stops_observing() {
    let database = Database::create().await;
    let (mut first, first_admin) = worker(&database).await;
    wait_until_observer_is(first_admin, 1.0, PATIENCE).await;
    let (_second, second_admin) = worker(&database).await;
    first.signal(Signal::TERM);
    assert!(first.ended(PATIENCE).await.success());
    wait_until_observer_is(second_admin, 1.0, TAKE_OVER).await;
}
