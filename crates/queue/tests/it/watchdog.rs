//! The watchdog: loops that hang are reported as stuck, loops that wait are not.

use std::time::Duration;

use embedded_postgres::{PostgresServer, PostgresSettings};
use queue::{Runner, Watchdog};
use sqlx::postgres::PgPoolOptions;

use crate::{
    harness::{Running, TestQueue, connect, prepare, settings, until},
    script::{Does, Plain, Scripted, plain},
};

/// Shorter than the bound in production, longer than a loop takes on a busy machine.
const BOUND: Duration = Duration::from_secs(2);

/// The loops of a runner.
const LOOPS: [&str; 5] = ["claims", "leases", "outcomes", "renewals", "timers"];

fn names(watchdog: &Watchdog) -> Vec<&'static str> {
    let mut names: Vec<_> = watchdog.stuck().iter().map(|stuck| stuck.name).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn loops_are_stuck_while_a_job_blocks_their_thread() {
    let queue = TestQueue::new().await;
    let watchdog = Watchdog::new(BOUND);
    let (world, url, heard) = (
        queue.world.clone(),
        queue.url().to_owned(),
        watchdog.clone(),
    );
    let (stop, stopped) = tokio::sync::oneshot::channel();
    // A runtime of its own, with one thread, which the job blocks.
    let blocked = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let runner = Runner::new(connect(&url, "worker", 3).await, settings());
            let runner = runner.register::<Scripted<Plain>, _>(world, 1);
            let running = Running::start(runner.with_watchdog(&heard));
            stopped.await.unwrap();
            running.stop().await;
        });
    });
    queue.enqueue(plain("blocks", Does::BlockThread)).await;
    until("all of them are stuck", async || names(&watchdog) == LOOPS).await;
    assert!(watchdog.stuck()[0].silent_for > BOUND);
    queue.world.open_gate();
    until("they continue", async || names(&watchdog).is_empty()).await;
    queue.until_empty().await;
    stop.send(()).unwrap();
    tokio::task::spawn_blocking(|| blocked.join().unwrap())
        .await
        .unwrap();
    tokio::time::sleep(BOUND).await; // loops that have ended are not watched
    assert_eq!(names(&watchdog), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_loop_is_stuck_without_a_database_or_work_or_free_permits() {
    let start = || PostgresServer::start_temporary(PostgresSettings::default()).unwrap();
    let mut server = tokio::task::spawn_blocking(start).await.unwrap();
    let url = server.ensure_database("away").await.unwrap();
    let pool = connect(&url, "test", 1).await;
    prepare(&pool).await;
    pool.close().await;
    let queue = TestQueue::at(url).await;
    let watchdog = Watchdog::new(BOUND);
    // As in production, the wait for a connection is shorter than the bound.
    let pool = PgPoolOptions::new()
        .acquire_timeout(BOUND / 4)
        .connect(queue.url())
        .await
        .unwrap();
    let runner =
        Runner::new(pool, settings()).register::<Scripted<Plain>, _>(queue.world.clone(), 1);
    let running = Running::start(runner.with_watchdog(&watchdog));
    let fine_for = async |time: Duration| {
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end {
            assert_eq!(watchdog.stuck(), []);
            tokio::time::sleep(BOUND / 20).await;
        }
    };
    fine_for(BOUND * 2).await;
    queue
        .enqueue(plain("held", Does::Hold(Does::Nothing.into())))
        .await;
    until("it runs", async || !queue.world.starts().is_empty()).await;
    fine_for(BOUND * 2).await;
    tokio::task::block_in_place(|| server.stop_immediate()).unwrap();
    queue.world.open_gate(); // its outcome waits for the database
    fine_for(BOUND * 3).await;
    tokio::task::block_in_place(|| server.start_again()).unwrap();
    queue.until_empty().await;
    fine_for(BOUND / 2).await;
    running.stop().await;
}
