//! The API while the database is away.

use std::time::{Duration, Instant};

use embedded_postgres::{PostgresServer, PostgresSettings};

use super::{ApiAnswer, ApiHarness, FREE};
use crate::{
    database::Database,
    wait::{PATIENCE, eventually},
};

fn assert_away(answer: &ApiAnswer, started: Instant) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.body["status"], 503);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_every_route_returns_503_and_later_recovers() {
    let mut server = PostgresServer::start_temporary(PostgresSettings::default()).unwrap();
    let api = ApiHarness::on(Database::create_on(&server).await).await;
    let caller = api.user().await;
    assert_eq!(caller.link(FREE).await.status, 201);
    tokio::task::block_in_place(|| server.stop_immediate()).unwrap();
    let started = Instant::now();
    assert_away(&caller.link(FREE).await, started);
    let started = Instant::now();
    assert_away(&caller.verify(FREE, "123456").await, started);
    let started = Instant::now();
    assert_away(&caller.show().await, started);
    let started = Instant::now();
    assert_away(&caller.unlink().await, started);
    tokio::task::block_in_place(|| server.start_again()).unwrap();
    eventually("the API responds again", PATIENCE, async || {
        (caller.show().await.status == 200).then_some(())
    })
    .await;
    // The requests during the outage have left nothing behind.
    assert_eq!(api.sends().await, 1);
}

#[tokio::test]
async fn a_request_does_not_wait_for_a_database_that_hangs() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    let mut tx = api.app.pool.begin().await.unwrap();
    sqlx::query("lock table pigeonhole.limit_log in access exclusive mode")
        .execute(&mut *tx)
        .await
        .unwrap();
    let started = Instant::now();
    assert_away(&caller.link(FREE).await, started);
    tx.rollback().await.unwrap();
    assert_eq!(caller.link(FREE).await.status, 201);
    assert_eq!(api.sends().await, 1);
}
