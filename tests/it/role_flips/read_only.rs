//! The server is set to read-only and back, while sockets stay open.

use embedded_postgres::{PostgresServer, PostgresSettings};
use sqlx::{AssertSqlSafe, raw_sql};

use super::harness::{FlipHarness, rounds};
use crate::{database::Database, wait::PATIENCE};

async fn set_read_only(database: &Database, read_only: bool) {
    let on = if read_only { "on" } else { "off" };
    let set = format!("alter system set default_transaction_read_only = {on}");
    let mut conn = database.pool.acquire().await.unwrap();
    raw_sql(AssertSqlSafe(set))
        .execute(&mut *conn)
        .await
        .unwrap();
    raw_sql("select pg_reload_conf()")
        .execute(&mut *conn)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_set_to_read_only_is_never_called_ready_and_is_used_again_soon_after() {
    let server = PostgresServer::start_temporary(PostgresSettings::default()).unwrap();
    let database = Database::create_on(&server).await;
    let url = database.settings.get("DATABASE_URL").to_owned();
    let harness = FlipHarness::start(database, &url).await;
    for _ in 0..rounds(3) {
        harness.works_soon().await;
        set_read_only(&harness.database, true).await;
        harness.unready_soon("read-only").await;
        for _ in 0..3 {
            assert_eq!(harness.deliver().await.0, 503);
            let ready = harness.readiness().await;
            assert!(ready.iter().all(|(status, _)| *status == 503), "{ready:?}");
        }
        set_read_only(&harness.database, false).await;
    }
    harness.works_soon().await;
    harness.assert_no_attempt_lost().await;
    let log = harness.process.log();
    assert!(log.contains("the server accepts no writes"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_whose_commits_fail_is_not_ready_though_the_database_responds() {
    let server = PostgresServer::start_temporary(PostgresSettings::default()).unwrap();
    let database = Database::create_on(&server).await;
    let url = database.settings.get("DATABASE_URL").to_owned();
    let harness = FlipHarness::start(database, &url).await;
    harness.works_soon().await;
    let mut theirs = harness.database.pool.begin().await.unwrap();
    raw_sql("lock table pigeonhole.inbound_messages in access exclusive mode")
        .execute(&mut *theirs)
        .await
        .unwrap();
    assert_eq!(harness.deliver().await.0, 503);
    harness.unready_soon("commits fail").await;
    for _ in 0..3 {
        assert_eq!(harness.deliver().await.0, 503);
        let ready = harness.readiness().await;
        assert!(ready.iter().all(|(status, _)| *status == 503), "{ready:?}");
    }
    theirs.rollback().await.unwrap();
    harness.works_soon().await;
}

#[tokio::test]
async fn the_log_says_why_a_webhook_was_not_accepted() {
    let database = Database::create().await;
    let url = database.settings.get("DATABASE_URL").to_owned();
    let harness = FlipHarness::start(database, &url).await;
    raw_sql("alter table pigeonhole.inbound_messages rename column sealed to gone")
        .execute(&harness.database.pool)
        .await
        .unwrap();
    assert_eq!(harness.deliver().await.0, 503);
    let line = harness
        .process
        .wait_for_line("webhook not accepted", PATIENCE)
        .await;
    let line = line.to_string();
    assert!(line.contains("SQLSTATE 42703"), "{line}");
}
