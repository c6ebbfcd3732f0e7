//! Which connections the pool gives out.

use std::{future::poll_fn, task::Poll, time::Duration};

use embedded_postgres::testing::TestDatabase;
use queue::{Pool, PoolSettings, PooledConnection, Servers};
use sqlx::{Connection, Executor, Row};

/// A pool of one connection.
async fn pool() -> Pool {
    let url = TestDatabase::empty().await.url();
    Pool::new(PoolSettings {
        servers: Servers::new(vec![url.parse().unwrap()]),
        max_connections: 1,
        acquire_timeout: Duration::from_secs(5),
    })
}

/// The process that serves this connection.
async fn backend(conn: &mut PooledConnection) -> i32 {
    sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&mut **conn)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_connection_is_used_again_after_its_statement_succeeded() {
    let pool = pool().await;
    let mut conn = pool.acquire().await.unwrap();
    let first = backend(&mut conn).await;
    conn.put_back();
    let mut conn = pool.acquire().await.unwrap();
    assert_eq!(backend(&mut conn).await, first);
    drop(conn);
    let mut conn = pool.acquire().await.unwrap();
    assert_eq!(backend(&mut conn).await, first);
}

#[tokio::test]
async fn a_transaction_whose_beginning_was_cut_off_is_not_left_to_the_next_user() {
    let pool = pool().await;
    let mut conn = pool.acquire().await.unwrap();
    let first = backend(&mut conn).await;
    let mut cut_off = false;
    while !cut_off {
        let mut beginning = Box::pin(conn.begin());
        // This sends the statement, and does not wait for a response that takes a moment.
        cut_off =
            poll_fn(|context| Poll::Ready(beginning.as_mut().poll(context).is_pending())).await;
    }
    drop(conn);
    let mut conn = pool.acquire().await.unwrap();
    assert_ne!(backend(&mut conn).await, first);
    // Not prepared: that begins the transaction earlier than the statement.
    let row = conn
        .fetch_one("select now() <> statement_timestamp()")
        .await;
    let open: bool = row.unwrap().get(0);
    assert!(!open);
}

#[tokio::test]
async fn a_connection_that_cannot_write_is_not_given_out_again() {
    let pool = pool().await;
    let mut conn = pool.acquire().await.unwrap();
    let first = backend(&mut conn).await;
    conn.execute("set default_transaction_read_only = on")
        .await
        .unwrap();
    drop(conn);
    let mut conn = pool.acquire().await.unwrap();
    assert_ne!(backend(&mut conn).await, first);
    conn.execute("create table written ()").await.unwrap();
}

#[tokio::test]
async fn a_connection_whose_statement_was_cut_off_does_not_block_the_pool() {
    let pool = pool().await;
    let mut conn = pool.acquire().await.unwrap();
    let asleep = conn.execute("select pg_sleep(60)");
    assert!(
        tokio::time::timeout(Duration::from_millis(100), asleep)
            .await
            .is_err()
    );
    drop(conn);
    let mut conn = pool.acquire().await.unwrap();
    // Postgres ends what nobody waits for.
    for _ in 0..100 {
        let asleep: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and query like 'select pg_sleep%'",
        )
        .fetch_one(&mut *conn)
        .await
        .unwrap();
        if asleep == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the statement still runs");
}

#[tokio::test]
async fn a_dropped_transaction_is_rolled_back() {
    let pool = pool().await;
    let mut conn = pool.acquire().await.unwrap();
    conn.execute("create table written (n int)").await.unwrap();
    conn.put_back();
    let mut tx = pool.begin().await.unwrap();
    tx.execute("insert into written values (1)").await.unwrap();
    drop(tx);
    let mut tx = pool.begin().await.unwrap();
    tx.execute("insert into written values (2)").await.unwrap();
    tx.commit().await.unwrap();
    let mut conn = pool.acquire().await.unwrap();
    let rows: Vec<i32> = sqlx::query_scalar("select n from written")
        .fetch_all(&mut *conn)
        .await
        .unwrap();
    assert_eq!(rows, [2]);
}
