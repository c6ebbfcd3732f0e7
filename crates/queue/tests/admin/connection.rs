//! The list of workers, wake-ups, and the limits of a connection.

use std::time::Duration;

use queue::admin::{self, AdminError};
use sqlx::postgres::PgListener;

use crate::harness::AdminHarness;

#[tokio::test]
async fn a_worker_without_a_recent_entry_is_stale() {
    let queue = AdminHarness::start().await;
    queue
        .run(
            "insert into queue.workers (name, started_at, seen_at, kinds, concurrency, held) values
                 ('a', now() - interval '2 h', now() - interval '1 min', '{letter}', 4, 4),
                 ('b', now() - interval '1 h', now() - interval '9 s', '{letter}', 4, 0)",
        )
        .await;
    let mut conn = queue.pool.acquire().await.unwrap();
    let workers = admin::workers(&mut conn).await.unwrap().workers;
    let stale: Vec<_> = workers
        .iter()
        .map(|worker| (worker.name.as_str(), worker.stale))
        .collect();
    assert_eq!(stale, [("a", true), ("b", false)]);
}

#[tokio::test]
async fn a_wake_up_reaches_listeners() {
    let queue = AdminHarness::start().await;
    let mut listener = PgListener::connect_with(&queue.pool).await.unwrap();
    listener.listen("queue_jobs").await.unwrap();
    admin::wake(&mut queue.pool.acquire().await.unwrap())
        .await
        .unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(5), listener.recv()).await;
    assert_eq!(heard.unwrap().unwrap().channel(), "queue_jobs");
}

#[tokio::test]
async fn a_statement_that_takes_too_long_says_so_and_the_limit_ends_with_the_transaction() {
    let queue = AdminHarness::start().await;
    let mut conn = queue.pool.acquire().await.unwrap();
    let mut tx = admin::begin(&mut conn).await.unwrap();
    let limit: String = sqlx::query_scalar("show statement_timeout")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(limit, "5s");
    sqlx::query("set local statement_timeout = '50ms'")
        .execute(&mut *tx)
        .await
        .unwrap();
    let error = sqlx::query("select pg_sleep(30)")
        .execute(&mut *tx)
        .await
        .unwrap_err();
    assert!(matches!(AdminError::from(error), AdminError::TooSlow));
    tx.rollback().await.unwrap();
    let limit: String = sqlx::query_scalar("show statement_timeout")
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    assert_eq!(limit, "0");
}

#[tokio::test]
async fn a_database_without_a_queue_is_reported() {
    let queue = AdminHarness::start().await;
    queue.run("drop schema queue cascade").await;
    let mut conn = queue.pool.acquire().await.unwrap();
    assert!(matches!(
        admin::stats(&mut conn).await,
        Err(AdminError::NoQueue)
    ));
}
