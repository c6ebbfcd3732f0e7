//! `pigeonhole doctor` finds each planted fault and names its fix. After the fix all checks pass.

mod database;
mod durability;
mod keys;
mod pooler;
mod queue;
mod recovery;
mod settings;
mod twilio;

use std::sync::OnceLock;

use embedded_postgres::{PostgresServer, PostgresSettings};
use serde_json::Value;
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio_util::sync::{CancellationToken, DropGuard};
use twilio_simulator::{SimulatedAccount, SimulatedApi};

use crate::{
    process::run,
    settings::{ProgramSettings, hex},
};

/// The settings of a server with which all checks pass.
fn as_in_production() -> PostgresSettings {
    PostgresSettings::default()
        .set("autovacuum", "on")
        .set("fsync", "on")
        .set("full_page_writes", "on")
}

/// A server with autovacuum, which the server of the other tests does not have.
fn server() -> &'static PostgresServer {
    static SERVER: OnceLock<PostgresServer> = OnceLock::new();
    SERVER.get_or_init(|| PostgresServer::start_temporary(as_in_production()).unwrap())
}

/// A database, a simulated Twilio and settings with which all checks pass.
struct DoctorHarness {
    settings: ProgramSettings,
    pool: PgPool,
    api: SimulatedApi,
    _stop: DropGuard,
}

impl DoctorHarness {
    /// A migrated database, in which a worker appears to be running.
    async fn start() -> Self {
        Self::start_on(server()).await
    }

    /// The same on this server.
    async fn start_on(server: &PostgresServer) -> Self {
        let harness = Self::empty_on(server, |_| ()).await;
        store::migrate(&harness.pool).await.unwrap();
        harness.sql(
            "insert into queue.workers (name, started_at, seen_at, kinds, concurrency, held) values ('w', now(), \
             now() + interval '1 day', '{process_message,send_reply,send_verification,cleanup_queue}', 100, 0)",
        )
        .await;
        harness
    }

    /// An empty database.
    async fn without_tables(of_the_account: impl FnOnce(&mut SimulatedAccount)) -> Self {
        Self::empty_on(server(), of_the_account).await
    }

    async fn empty_on(
        server: &PostgresServer,
        of_the_account: impl FnOnce(&mut SimulatedAccount),
    ) -> Self {
        let url = server.ensure_database(&hex()).await.unwrap();
        let pool = PgPoolOptions::new().max_connections(4).connect(&url).await;
        let bound = SimulatedApi::bind(([127, 0, 0, 1], 0).into())
            .await
            .unwrap();
        let settings = ProgramSettings::random(&url).with("TWILIO_API_BASE_URL", bound.base_url());
        let mut account = settings.account();
        of_the_account(&mut account);
        let stop = CancellationToken::new();
        Self {
            settings,
            pool: pool.unwrap(),
            api: bound.serve(account, stop.clone()).unwrap(),
            _stop: stop.drop_guard(),
        }
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings = self.settings.with(name, value);
        self
    }

    async fn sql(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.pool).await.unwrap();
    }

    async fn doctor(&self, arguments: &[&str]) -> DoctorReport {
        DoctorReport::of(&self.settings, arguments).await
    }

    /// All checks pass.
    async fn assert_well(&self) {
        let diagnosis = self.doctor(&[]).await;
        assert_eq!(diagnosis.bad(), [] as [(&str, &str); 0], "{diagnosis:#?}");
        assert_eq!(diagnosis.code, 0);
    }

    /// Exactly this check fails, and this fixes it.
    async fn assert_only(&self, check: &str, status: &str, says: &str, fix: &str) {
        let diagnosis = self.doctor(&[]).await;
        assert_eq!(diagnosis.bad(), [(check, status)], "{diagnosis:#?}");
        diagnosis.assert_names(check, says, fix);
        assert_eq!(diagnosis.code, i32::from(status == "fault"));
    }
}

/// The output of the doctor.
#[derive(Debug)]
struct DoctorReport {
    code: i32,
    findings: Vec<Value>,
    changes: Vec<Value>,
}

impl DoctorReport {
    async fn of(settings: &ProgramSettings, arguments: &[&str]) -> Self {
        let arguments = [&["doctor", "--json"], arguments].concat();
        let ran = run(&arguments, settings).await;
        let report: Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        let list = |name: &str| report[name].as_array().cloned().unwrap_or_default();
        Self {
            code: ran.code.unwrap(),
            findings: list("findings"),
            changes: list("changes"),
        }
    }

    /// The failed checks, each with its status.
    fn bad(&self) -> Vec<(&str, &str)> {
        let findings = self.findings.iter().map(|finding| {
            let text = |name: &str| finding[name].as_str().unwrap();
            (text("check"), text("status"))
        });
        findings.filter(|(_, status)| *status != "ok").collect()
    }

    /// A finding of this check contains this text, and names this fix.
    fn assert_names(&self, check: &str, says: &str, fix: &str) {
        let found = self.findings.iter().any(|finding| {
            let text = |name: &str| finding[name].as_str().unwrap_or_default();
            text("check") == check && text("says").contains(says) && text("fix").contains(fix)
        });
        assert!(
            found,
            "{check}: {says:?} and {fix:?} are missing: {self:#?}"
        );
    }
}

#[tokio::test]
async fn a_healthy_installation_passes_every_check() {
    let harness = DoctorHarness::start().await;
    harness.assert_well().await;
    let ran = run(&["doctor"], &harness.settings).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.stdout.contains("0 faults, 0 warnings, 0 unchecked"),
        "{}",
        ran.stdout
    );
    for process in ["receiver", "worker"] {
        let diagnosis = harness.doctor(&["--process", process]).await;
        assert_eq!(diagnosis.code, 0, "{diagnosis:#?}");
    }
    let worker = harness
        .with("PUBLIC_BASE_URL", "")
        .with("TWILIO_PHONE_NUMBER", "");
    let diagnosis = worker.doctor(&["--process", "worker"]).await;
    assert_eq!(
        diagnosis.code, 0,
        "a worker may have neither: {diagnosis:#?}"
    );
    assert_eq!(worker.doctor(&[]).await.code, 1);
}

#[tokio::test]
async fn a_check_that_cannot_run_is_reported_as_unchecked() {
    let harness = DoctorHarness::start().await;
    // A port that accepts connections and never responds.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((connection, _)) = silent.accept().await {
            drop(connection);
        }
    });
    let harness = harness.with("TWILIO_API_BASE_URL", address);
    let diagnosis = harness.doctor(&[]).await;
    assert_eq!(diagnosis.bad(), [("twilio_credentials", "unchecked")]);
    assert_eq!(diagnosis.code, 2);
}

#[tokio::test]
async fn the_doctor_shows_no_number_and_no_secret() {
    let harness = DoctorHarness::start().await;
    let user = uuid::Uuid::new_v4();
    let mut conn = harness.pool.acquire().await.unwrap();
    store::users::ensure(&mut conn, user).await.unwrap();
    let number = store::E164::parse("+12025550123").unwrap();
    let keyring = harness.settings.keyring();
    store::user_phone_numbers::link(&mut conn, &keyring, user, &number)
        .await
        .unwrap();
    harness.api.set(|console| {
        console.number.sms_url = "https://me:s3cret-of-mine@example.com/sms".to_owned();
    });
    let wrong_key = harness
        .settings
        .clone()
        .with("ENCRYPTION_KEY", crate::settings::key());
    for settings in [&harness.settings, &wrong_key] {
        for arguments in [
            ["doctor"].as_slice(),
            &["doctor", "--fix"],
            &["doctor", "--json"],
        ] {
            let ran = run(arguments, settings).await;
            assert_eq!(ran.code, Some(1), "{ran:?}");
            let told = format!("{}{}", ran.stdout, ran.stderr);
            assert!(told.contains("example.com/sms"), "{told}");
            let secrets = [
                "TWILIO_AUTH_TOKEN",
                "ENCRYPTION_KEY",
                "JWT_SECRET",
                "TWILIO_PHONE_NUMBER",
            ];
            let secrets = secrets.map(|name| settings.get(name));
            for secret in secrets.into_iter().chain(["s3cret", "2025550123"]) {
                assert!(!told.contains(secret), "{told}");
            }
        }
    }
}
