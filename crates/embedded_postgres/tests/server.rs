//! A server's normal operation, and its errors if it cannot start.
#![expect(clippy::unwrap_used, reason = "tests may, and so may what they share")]

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use embedded_postgres::{PostgresServer, PostgresSettings, StartError};
use sqlx::{Connection, PgConnection};

async fn ask(url: &str, sql: &'static str) -> String {
    let mut conn = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(sql).fetch_one(&mut conn).await.unwrap()
}

async fn tell(url: &str, sql: &'static str) {
    let mut conn = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
}

/// A directory for kept data that the server's account can enter.
fn kept_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let mode = Permissions::from_mode(0o755);
    fs::set_permissions(dir.path(), mode).unwrap();
    dir
}

#[tokio::test]
async fn a_temporary_server_is_private_and_deleted_when_dropped() {
    let start = Instant::now();
    let server =
        PostgresServer::start_temporary(PostgresSettings::default().set("work_mem", "7MB"))
            .unwrap();
    println!(
        "started in {:?}: {}",
        start.elapsed(),
        server.url("postgres")
    );
    let url = server.url("postgres");
    assert_eq!(ask(&url, "show fsync").await, "off");
    assert_eq!(ask(&url, "show listen_addresses").await, "");
    assert_eq!(ask(&url, "show server_encoding").await, "UTF8");
    assert_eq!(ask(&url, "show timezone").await, "UTC");
    assert_eq!(ask(&url, "show work_mem").await, "7MB");

    let dir = server.dir().to_path_buf();
    let mode = fs::metadata(&dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700); // the server asks for no password
    let start = Instant::now();
    drop(server);
    println!("stopped in {:?}", start.elapsed());
    assert!(!dir.exists());
}

#[tokio::test]
async fn libpq_accepts_the_same_url_and_ignores_its_environment_variables() {
    let server = PostgresServer::start_temporary(PostgresSettings::default()).unwrap();
    let url = server.ensure_database("Größe \"1\"").await.unwrap();
    assert_eq!(
        ask(&url, "select current_database()::text").await,
        "Größe \"1\""
    );
    let psql = Command::new(server.bin_dir().join("psql"))
        .args(["-XAtc", "select current_database()", &url])
        .env("PGPORT", "1")
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(psql.stdout).unwrap().trim(),
        "Größe \"1\""
    );
}

#[tokio::test]
async fn a_server_starts_again_after_a_clean_stop_a_crash_and_a_kill() {
    let mut server = PostgresServer::start_temporary(PostgresSettings::default()).unwrap();
    let url = server.url("postgres");
    tell(&url, "create table t as select 42::text as n").await;

    server.stop().unwrap();
    assert!(PgConnection::connect(&url).await.is_err());
    server.start_again().unwrap();
    assert_eq!(ask(&url, "select n from t").await, "42");

    server.stop_immediate().unwrap();
    assert_eq!(server.process_id(), None);
    server.start_again().unwrap();
    assert_eq!(ask(&url, "select n from t").await, "42");

    let pid = server.process_id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .args(["-9", &pid])
            .status()
            .unwrap()
            .success()
    );
    server.start_again().unwrap();
    assert_eq!(ask(&url, "select n from t").await, "42");
    let log = fs::read_to_string(server.log_path()).unwrap();
    assert_eq!(
        log.matches("automatic recovery in progress").count(),
        2,
        "{log}"
    );
}

#[tokio::test]
async fn kept_data_is_durable_and_survives_its_server() {
    let dir = kept_dir();
    let data = dir.path().join("made/with/parents");
    let server = PostgresServer::start_kept(&data, PostgresSettings::default()).unwrap();
    let url = server.ensure_database("pigeonhole").await.unwrap();
    assert_eq!(ask(&url, "show fsync").await, "on");
    tell(&url, "create table t as select 42::text as n").await;
    drop(server);

    let server = PostgresServer::start_kept(&data, PostgresSettings::default()).unwrap();
    let url = server.ensure_database("pigeonhole").await.unwrap();
    assert_eq!(ask(&url, "select n from t").await, "42");
    let log = fs::read_to_string(server.log_path()).unwrap();
    assert!(!log.contains("automatic recovery"), "{log}");
}

#[tokio::test]
async fn a_directory_whose_path_is_too_long_for_a_socket_works() {
    let dir = kept_dir();
    let server = PostgresServer::start_kept(
        &dir.path().join("x".repeat(100)),
        PostgresSettings::default(),
    )
    .unwrap();
    assert_eq!(ask(&server.url("postgres"), "show fsync").await, "on");
}

#[test]
fn a_second_server_on_the_same_data_fails_and_names_the_first_process() {
    let dir = kept_dir();
    let data = dir.path().join("data");
    let _first = PostgresServer::start_kept(&data, PostgresSettings::default()).unwrap();
    let Err(error) = PostgresServer::start_kept(&data, PostgresSettings::default()) else {
        panic!("two servers")
    };
    assert!(matches!(error, StartError::InUse { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains(&format!("process {}", std::process::id())),
        "{error}"
    );
}

#[test]
fn a_directory_with_other_files_is_refused_and_stays_unchanged() {
    let dir = kept_dir();
    fs::write(dir.path().join("diary"), "dear diary").unwrap();
    let Err(error) = PostgresServer::start_kept(dir.path(), PostgresSettings::default()) else {
        panic!("started")
    };
    assert!(matches!(error, StartError::NotOurs { .. }), "{error}");
}

#[test]
fn a_server_that_cannot_start_shows_its_log() {
    let settings = PostgresSettings::default().set("shared_buffers", "lots");
    let Err(error) = PostgresServer::start_temporary(settings) else {
        panic!("started")
    };
    assert!(error.to_string().contains("shared_buffers"), "{error}");
}

#[test]
fn missing_binaries_are_explained() {
    let settings = PostgresSettings::default().bin_dir("/nowhere");
    let Err(error) = PostgresServer::start_temporary(settings) else {
        panic!("started")
    };
    let said = error.to_string();
    assert!(
        said.contains("script/bootstrap") && said.contains("/nowhere"),
        "{said}"
    );
}

#[test]
fn for_root_the_error_names_the_directory_that_postgres_cannot_enter() {
    if fs::metadata("/root").is_err() || fs::read_dir("/root").is_err() {
        return; // without root, Postgres runs as ourselves
    }
    let dir = tempfile::tempdir_in("/root").unwrap();
    let data = dir.path().join("data");
    let Err(error) = PostgresServer::start_kept(&data, PostgresSettings::default()) else {
        panic!("started")
    };
    let StartError::OutOfReach { barrier, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(barrier, Path::new("/root"));
}

#[tokio::test]
async fn a_standby_follows_its_primary_and_may_lag_and_take_over() {
    let settings = PostgresServer::with_standbys(PostgresSettings::default());
    let primary = PostgresServer::start_temporary(settings).unwrap();
    let standby = primary.start_standby().await.unwrap();
    let (ahead, behind) = (primary.url("postgres"), standby.url("postgres"));
    let attached = "select application_name from pg_stat_replication";
    assert_eq!(ask(&ahead, attached).await, "standby");
    let count = "select count(*)::text from pg_database where datname like 'new%'";
    tell(&ahead, "create database new1").await;
    while ask(&behind, count).await != "1" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tell(&behind, "select pg_wal_replay_pause()").await;
    tell(&ahead, "create database new2").await;
    assert_eq!(ask(&behind, count).await, "1");
    tell(&behind, "select pg_wal_replay_resume()").await;
    while ask(&behind, count).await != "2" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(primary);
    tell(&behind, "select pg_promote()").await;
    tell(&behind, "create database new3").await;
    assert_eq!(ask(&behind, count).await, "3");
}
