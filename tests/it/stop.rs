//! SIGTERM under load: the process stops gracefully, and no accepted message is lost.

use std::time::Duration;

use rustix::process::Signal;

use crate::{
    database::Database,
    load::MessageLoad,
    process::Process,
    wait::{PATIENCE, eventually},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_is_graceful_and_loses_no_accepted_message() {
    let database = Database::create().await;
    let (mut process, addr) = Process::receiver("serve", &database.settings).await;
    let load = MessageLoad::start(&database.settings.twilio(addr), 8);
    eventually("some messages are accepted", PATIENCE, async || {
        (load.accepted() >= 100).then_some(())
    })
    .await;
    process.signal(Signal::TERM);
    let status = process.ended(Duration::from_secs(10)).await;
    assert!(status.success(), "{status}");
    let log = process.log();
    assert!(
        !log.contains("panicked") && !log.contains("\"ERROR\""),
        "{log}"
    );

    let answered = load.finish().await;
    let _worker = Process::start("worker", &database.settings);
    database.assert_nothing_is_lost(&answered.accepted).await;
}

#[tokio::test]
async fn a_stop_returns_running_jobs_to_the_queue_after_the_grace_period() {
    let database = Database::create().await.with("SHUTDOWN_GRACE_SECONDS", "1");
    let (mut process, addr) = Process::receiver("serve", &database.settings).await;
    let mut blocker = database.pool.begin().await.unwrap();
    sqlx::query("lock table enrichment_items in share row exclusive mode")
        .execute(&mut *blocker)
        .await
        .unwrap();
    let twilio = database.settings.twilio(addr);
    let text = crate::app::text(crate::database::NUMBER, "Met Ana #here #there");
    let sid = twilio.deliver(&text).await.unwrap().message_sid;
    eventually("the job waits for the lock", PATIENCE, async || {
        sqlx::query_scalar::<_, i32>(
            "select pid from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock'",
        )
        .fetch_optional(&database.pool)
        .await
        .unwrap()
    })
    .await;
    process.signal(Signal::TERM);
    // The worker's statement still waits for its lock. The process must not wait for the statement.
    let status = process.ended(Duration::from_secs(5)).await;
    assert!(status.success(), "{status}");
    let (attempts, is_due): (i16, bool) =
        sqlx::query_as("select attempts, run_at <= now() from queue.jobs")
            .fetch_one(&database.pool)
            .await
            .unwrap();
    assert_eq!(
        (attempts, is_due),
        (0, true),
        "a stop costs no attempt and no wait"
    );
    blocker.rollback().await.unwrap();
    let _worker = Process::start("worker", &database.settings);
    database.assert_nothing_is_lost(&[sid]).await;
}
