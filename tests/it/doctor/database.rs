//! Faults of the database and of other clients of it.

use sqlx::{Connection, PgConnection};

use super::{DoctorHarness, DoctorReport, server};
use crate::process::run;

#[tokio::test]
async fn an_unreachable_database_is_a_fault_with_its_cause() {
    let harness = DoctorHarness::start().await;
    for (url, fix) in [
        (
            "postgres://nobody@127.0.0.1:1/none".to_owned(),
            "start Postgres",
        ),
        (server().url("no_such_database"), "createdb"),
        (
            harness
                .settings
                .get("DATABASE_URL")
                .replace("postgres@", "nobody@"),
            "user and password",
        ),
    ] {
        let settings = harness.settings.clone().with("DATABASE_URL", url);
        let diagnosis = DoctorReport::of(&settings, &[]).await;
        assert_eq!(diagnosis.code, 1);
        assert_eq!(diagnosis.bad()[0], ("database", "fault"), "{diagnosis:#?}");
        diagnosis.assert_names("database", "cannot be used", fix);
        diagnosis.assert_names("twilio_webhook", "", ""); // the rest was looked at
    }
}

#[tokio::test]
async fn missing_tables_are_a_fault_that_migrate_fixes() {
    let harness = DoctorHarness::without_tables(|_| ()).await;
    let diagnosis = harness.doctor(&[]).await;
    assert_eq!(
        diagnosis.bad()[0],
        ("migrations", "fault"),
        "{diagnosis:#?}"
    );
    diagnosis.assert_names("migrations", "0001, 0002", "pigeonhole migrate");
    let ran = run(&["migrate"], &harness.settings).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    harness
        .assert_only("workers", "fault", "no worker", "pigeonhole worker")
        .await;
}

#[tokio::test]
async fn a_database_newer_than_the_program_or_with_an_altered_migration_is_reported() {
    let harness = DoctorHarness::start().await;
    harness.sql(
        "insert into pigeonhole._sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'of the future', true, '', 0)",
    )
    .await;
    harness
        .assert_only("migrations", "warning", "9999", "upgrade this program")
        .await;
    harness
        .sql("delete from pigeonhole._sqlx_migrations where version = 9999")
        .await;
    harness
        .sql("update pigeonhole._sqlx_migrations set checksum = 'x' where version = 3")
        .await;
    harness
        .assert_only(
            "migrations",
            "fault",
            "differs from this program's: 0003",
            "run the version",
        )
        .await;
}

#[tokio::test]
async fn a_table_without_autovacuum_is_found() {
    let harness = DoctorHarness::start().await;
    harness
        .sql("alter table queue.jobs set (autovacuum_enabled = off)")
        .await;
    let mend = "alter table queue.jobs reset (autovacuum_enabled);";
    harness
        .assert_only("autovacuum", "fault", "queue.jobs", mend)
        .await;
    harness.sql(mend).await;
    harness.assert_well().await;

    // The server that the other tests share has autovacuum disabled entirely.
    let database = crate::database::Database::create().await;
    let diagnosis = DoctorReport::of(&database.settings, &[]).await;
    diagnosis.assert_names(
        "autovacuum",
        "autovacuum is off: ",
        "alter system set autovacuum = on",
    );
}

#[tokio::test]
async fn an_open_transaction_is_found_with_its_process() {
    let harness = DoctorHarness::start().await;
    let mut conn = PgConnection::connect(harness.settings.get("DATABASE_URL"))
        .await
        .unwrap();
    sqlx::raw_sql(
        "set application_name = 'somebodys report'; begin; select txid_current(), pg_sleep(1.1)",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    let process: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    harness.assert_well().await;
    let diagnosis = harness.doctor(&["--max-snapshot-seconds", "1"]).await;
    assert_eq!(diagnosis.bad(), [("snapshots", "fault")], "{diagnosis:#?}");
    let mend = format!("select pg_terminate_backend({process});");
    diagnosis.assert_names("snapshots", "\"somebodys report\"", &mend);
    diagnosis.assert_names("snapshots", "is idle", &mend);
    sqlx::raw_sql(sqlx::AssertSqlSafe(mend))
        .execute(&harness.pool)
        .await
        .unwrap();
    crate::wait::eventually("the session has ended", crate::wait::PATIENCE, async || {
        let diagnosis = harness.doctor(&["--max-snapshot-seconds", "1"]).await;
        (diagnosis.code == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_pool_larger_than_the_server_allows_is_found() {
    let harness = DoctorHarness::start()
        .await
        .with("DATABASE_POOL_MAX", "1000");
    harness
        .assert_only(
            "connections",
            "fault",
            "DATABASE_POOL_MAX=1000",
            "lower DATABASE_POOL_MAX",
        )
        .await;
    harness.with("DATABASE_POOL_MAX", "10").assert_well().await;
}
