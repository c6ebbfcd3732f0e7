//! A proxy turns from a standby to the primary, or has no server for a while.

use std::time::Duration;

use embedded_postgres::{PostgresServer, PostgresSettings};

use super::{
    harness::{FlipHarness, rounds},
    switching_proxy::SwitchingProxy,
};
use crate::database::Database;

/// A primary with a database, and its standby.
async fn servers() -> (PostgresServer, PostgresServer, Database) {
    let settings = PostgresServer::with_standbys(PostgresSettings::default());
    let primary = PostgresServer::start_temporary(settings).unwrap();
    let database = Database::create_on(&primary).await;
    let standby = primary.start_standby().await.unwrap();
    (primary, standby, database)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_turns_from_a_standby_to_the_primary_while_sockets_stay_open_is_followed() {
    let (primary, standby, database) = servers().await;
    let proxy = SwitchingProxy::to(&standby).await;
    let harness = FlipHarness::start(database, &proxy.url()).await;
    for _ in 0..rounds(3) {
        harness.unready_soon("read-only").await;
        assert_eq!(harness.deliver().await.0, 503);
        assert!(
            harness
                .readiness()
                .await
                .iter()
                .all(|(status, _)| *status == 503)
        );
        proxy.turn_to(&primary);
        harness.works_soon().await;
        proxy.turn_to(&standby);
        proxy.cut();
    }
    harness.assert_no_attempt_lost().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_servers_in_database_url_the_writable_one_is_used() {
    let (primary, standby, database) = servers().await;
    let first = SwitchingProxy::to(&standby).await;
    let second = SwitchingProxy::to(&primary).await;
    let (one, two) = (first.address(), second.address());
    let url = format!("postgres://postgres@{one},{two}/pigeonhole?target_session_attrs=read-write");
    let harness = FlipHarness::start(database, &url).await;
    for _ in 0..rounds(2) {
        harness.works_soon().await;
        first.turn_to(&primary);
        second.turn_to(&standby);
        second.cut();
        harness.works_soon().await;
        second.turn_to(&primary);
        first.turn_to_none();
        first.cut();
    }
    harness.works_soon().await;
    harness.assert_no_attempt_lost().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_waits_within_its_deadline_for_a_proxy_without_a_server() {
    let server = PostgresServer::start_temporary(PostgresSettings::default()).unwrap();
    let proxy = SwitchingProxy::to(&server).await;
    let harness = FlipHarness::start(Database::create_on(&server).await, &proxy.url()).await;
    harness.works_soon().await;
    for _ in 0..rounds(3) {
        proxy.turn_to_none();
        proxy.cut();
        let turning = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            proxy.turn_to(&server);
        };
        let (sid, ()) = tokio::join!(harness.accepted_at_once(), turning);
        harness.processed_soon(&sid).await;
    }
    harness.assert_no_attempt_lost().await;
}
