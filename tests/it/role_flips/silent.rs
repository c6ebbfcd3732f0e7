//! Open connections go silent, as when a firewall forgets them. New ones work.

use std::time::{Duration, Instant};

use embedded_postgres::{PostgresServer, PostgresSettings};

use super::{
    harness::{FlipHarness, rounds, soon},
    switching_proxy::SwitchingProxy,
};
use crate::{
    database::Database,
    load::MessageLoad,
    wait::{PATIENCE, eventually},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_go_silent_are_replaced_every_time_and_none_leaks() {
    let server = PostgresServer::start_temporary(PostgresSettings::default()).unwrap();
    let proxy = SwitchingProxy::to(&server).await;
    let harness = FlipHarness::start(Database::create_on(&server).await, &proxy.url()).await;
    harness.works_soon().await;
    let load = MessageLoad::start(&harness.twilio, 2);
    for round in 0..rounds(5) {
        let before = load.accepted();
        eventually("messages are accepted", PATIENCE, async || {
            (load.accepted() >= before + 20).then_some(())
        })
        .await;
        proxy.silence();
        let started = Instant::now();
        let sid = harness.accepted_soon().await;
        let accepted = started.elapsed();
        assert!(accepted < soon(), "round {round}: {accepted:?}");
        harness.processed_soon(&sid).await;
        harness.listens_soon().await;
        harness.ready_soon().await;
    }
    // An idle connection is found silent at its next use, so every pool must be used. A message
    // writes no outcome of its own.
    eventually("no silent connection is held", PATIENCE, async || {
        let mut conn = harness.database.pool.acquire().await.unwrap();
        queue::enqueue(&mut conn, &jobs::ReconcileDeadMessages {})
            .await
            .unwrap();
        harness.ready_soon().await;
        (proxy.silent() == 0).then_some(())
    })
    .await;
    let answered = load.finish().await;
    harness
        .database
        .assert_nothing_is_lost(&answered.accepted)
        .await;
    harness.assert_no_attempt_lost().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_idle_when_its_connections_went_silent_loses_no_webhook() {
    let server = PostgresServer::start_temporary(PostgresSettings::default()).unwrap();
    let proxy = SwitchingProxy::to(&server).await;
    let harness = FlipHarness::start(Database::create_on(&server).await, &proxy.url()).await;
    for _ in 0..rounds(3) {
        harness.works_soon().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        proxy.silence();
        let sid = harness.accepted_at_once().await;
        harness.processed_soon(&sid).await;
    }
    harness.assert_no_attempt_lost().await;
}
