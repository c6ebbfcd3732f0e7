//! The doctor says when an acknowledged message could be lost.

use embedded_postgres::PostgresServer;
use sqlx::AssertSqlSafe;

use super::{DoctorHarness, as_in_production};
use crate::wait::{PATIENCE, eventually};

impl DoctorHarness {
    /// Changes a setting of the server, and waits until new sessions have it.
    async fn set(&self, name: &str, value: &str) {
        for statement in [
            format!("alter system set {name} = '{value}'"),
            "select pg_reload_conf()".to_owned(),
        ] {
            sqlx::raw_sql(AssertSqlSafe(statement))
                .execute(&self.pool)
                .await
                .unwrap();
        }
        eventually("the setting is in force", PATIENCE, async || {
            let shown: String = sqlx::query_scalar("select current_setting($1)")
                .bind(name)
                .fetch_one(&self.pool)
                .await
                .unwrap();
            (shown == value).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_can_lose_acknowledged_messages_are_found() {
    for (name, status) in [
        ("fsync", "fault"),
        ("full_page_writes", "warning"),
        ("synchronous_commit", "fault"),
    ] {
        let settings = as_in_production().set(name, "off");
        let server = PostgresServer::start_temporary(settings).unwrap();
        let harness = DoctorHarness::start_on(&server).await;
        let says = format!("can be lost: {name} is off");
        harness.assert_only("durability", status, &says, name).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_no_commit_waits_for_or_that_is_missing_is_found() {
    let settings = PostgresServer::with_standbys(as_in_production());
    let server = PostgresServer::start_temporary(settings).unwrap();
    let harness = DoctorHarness::start_on(&server).await;
    let report = harness.doctor(&[]).await;
    report.assert_names("durability", "and on no other", "");
    let standby = server.start_standby().await.unwrap();
    let says = "no commit waits for a standby (1 attached";
    let fix = "synchronous_standby_names = 'ANY 1 (*)'";
    harness
        .assert_only("durability", "warning", says, fix)
        .await;

    harness.set("synchronous_standby_names", "ANY 1 (*)").await;
    eventually("the standby is synchronous", PATIENCE, async || {
        (harness.doctor(&[]).await.code == 0).then_some(())
    })
    .await;
    let report = harness.doctor(&[]).await;
    report.assert_names("durability", "of a standby (1 synchronous attached", "");

    drop(standby);
    let says = "no such standby is attached";
    let fix = "alter system reset synchronous_standby_names";
    eventually("the standby is gone", PATIENCE, async || {
        (harness.doctor(&[]).await.code == 1).then_some(())
    })
    .await;
    harness.assert_only("durability", "fault", says, fix).await;
}
