//! A receiver and a worker that get faults and repairs, and a Prometheus with shortened intervals:
//! seconds instead of minutes, so that a test sees alerts fire and resolve.

use std::{fs, net::SocketAddr, time::Duration};

use embedded_postgres::PostgresServer;
use serde_json::json;
use store::users;
use tempfile::TempDir;
use twilio_simulator::{InboundText, SimulatedApi, WebhookSender};
use uuid::Uuid;

use super::{
    files::alerts_text,
    prometheus::{Prometheus, free_port},
};
use crate::{
    api::token_of,
    app::text,
    database::{Database, NUMBER},
    process::{Process, run},
    settings::ProgramSettings,
    wait::{PATIENCE, eventually},
    webhook::client,
};

/// Texts in the alert rules, and their replacements for the tests.
const SHORTENED: [(&str, &str); 15] = [
    ("[5m]", "[8s]"),
    ("[10m]", "[10s]"),
    ("offset 10m", "offset 10s"),
    ("[15m]", "[10s]"),
    ("[1h]", "[20s]"),
    ("[3h]", "[15s]"),
    ("[7d]", "[60s]"),
    ("for: 1m", "for: 1s"),
    ("for: 2m", "for: 2s"),
    ("for: 5m", "for: 1s"),
    ("for: 10m", "for: 1s"),
    ("for: 15m", "for: 2s"),
    ("for: 30m", "for: 1s"),
    ("> 120\n", "> 2\n"),
    ("> 900\n", "> 2\n"),
];

/// How long the system is healthy before a fault: one observation and a few scrapes.
const HEALTHY_TIME: Duration = Duration::from_secs(6);

/// The system, its Prometheus, and the operator's tools.
pub(super) struct AlertHarness {
    pub(super) receiver: Option<Process>,
    pub(super) worker: Option<Process>,
    pub(super) api: SimulatedApi,
    pub(super) database: Database,
    /// The admin addresses of the receiver and of the worker.
    admin: [SocketAddr; 2],
    prometheus: Prometheus,
    _rules: TempDir,
    pub(super) server: PostgresServer,
}

impl AlertHarness {
    /// Starts a healthy system.
    pub(super) async fn open(settings: impl FnOnce(Database) -> Database) -> Self {
        let server =
            PostgresServer::start_temporary(embedded_postgres::PostgresSettings::default())
                .unwrap();
        let database = Database::create_on(&server)
            .await
            .with("LISTEN_ADDR", format!("127.0.0.1:{}", free_port()))
            .with("VERIFICATION_IP_HOURLY_LIMIT", "10000");
        let (database, api) = settings(database).with_twilio().await;
        api.connect(&format!("http://{}", database.settings.get("LISTEN_ADDR")));

        let rules = tempfile::tempdir().unwrap();
        let file = rules.path().join("alerts.yml");
        let mut text = alerts_text();
        for (slow, fast) in SHORTENED {
            assert!(text.contains(slow), "no alert has {slow:?} any more");
            text = text.replace(slow, fast);
        }
        fs::write(&file, text).unwrap();
        let admin: [SocketAddr; 2] =
            [free_port(), free_port()].map(|port| ([127, 0, 0, 1], port).into());
        let prometheus = Prometheus::with_rules(&admin, 1, &file).await;
        let mut harness = Self {
            receiver: None,
            worker: None,
            api,
            database,
            admin,
            prometheus,
            _rules: rules,
            server,
        };
        harness.start_receiver(|settings| settings).await;
        harness.start_worker(|settings| settings).await;
        // Prometheus must have scraped counters at zero before they increase.
        harness.prometheus.wait_for_samples(HEALTHY_TIME).await;
        harness.wait_until_resolved("PigeonholeWorkerGone").await;
        harness.wait_until_resolved("PigeonholeProcessDown").await;
        harness
    }

    fn settings(&self, admin: SocketAddr) -> ProgramSettings {
        let settings = self.database.settings.clone();
        settings.with("ADMIN_ADDR", admin.to_string())
    }

    /// Starts or restarts the receiver with other settings.
    pub(super) async fn start_receiver(
        &mut self,
        change: impl FnOnce(ProgramSettings) -> ProgramSettings,
    ) {
        drop(self.receiver.take());
        let settings = change(self.settings(self.admin[0]));
        self.receiver = Some(Process::receiver("receiver", &settings).await.0);
    }

    /// Starts or restarts the worker with other settings.
    pub(super) async fn start_worker(
        &mut self,
        change: impl FnOnce(ProgramSettings) -> ProgramSettings,
    ) {
        drop(self.worker.take());
        let settings = change(self.settings(self.admin[1]));
        let worker = Process::start("worker", &settings);
        worker.addr("admin listens").await;
        self.worker = Some(worker);
    }

    /// Runs a command as an operator who follows a runbook. Returns its output.
    pub(super) async fn operator(&self, arguments: &[&str]) -> String {
        let ran = run(arguments, &self.database.settings).await;
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
        ran.stdout
    }

    fn twilio(&self) -> WebhookSender {
        let settings = &self.database.settings;
        settings.twilio(settings.get("LISTEN_ADDR").parse().unwrap())
    }

    /// Ends the one session that this query finds.
    pub(super) async fn end_session(&self, find: &'static str) {
        let pool = &self.database.pool;
        let pids: Vec<i32> = sqlx::query_scalar(find).fetch_all(pool).await.unwrap();
        assert_eq!(pids.len(), 1);
        sqlx::query("select pg_terminate_backend($1)")
            .bind(pids[0])
            .execute(pool)
            .await
            .unwrap();
    }

    /// Delivers a text. Returns the status.
    pub(super) async fn deliver(&self) -> u16 {
        let delivery = self.twilio().deliver(&text(NUMBER, "Hello")).await;
        delivery.map_or(0, |delivery| delivery.status)
    }

    /// Delivers a text with a file, which must be accepted. Returns its SID.
    pub(super) async fn deliver_file(&self) -> String {
        let text = InboundText {
            media: vec!["image/jpeg".to_owned()],
            ..text(NUMBER, "Look at this")
        };
        let delivery = self.twilio().deliver(&text).await.unwrap();
        assert_eq!(delivery.status, 200);
        delivery.message_sid
    }

    /// Requests a code for this number as a new user. Returns the status.
    pub(super) async fn ask_for_code(&self, number: &str) -> u16 {
        let user = Uuid::new_v4();
        let mut conn = self.database.pool.acquire().await.unwrap();
        users::ensure(&mut conn, user).await.unwrap();
        drop(conn);
        let settings = &self.database.settings;
        let url = format!(
            "http://{}/api/user/phone-number",
            settings.get("LISTEN_ADDR")
        );
        let request = client()
            .post(url)
            .bearer_auth(token_of(user, settings.get("JWT_SECRET")))
            .json(&json!({ "phoneNumber": number }));
        request.send().await.unwrap().status().as_u16()
    }

    pub(super) async fn is_firing(&self, alert: &str) -> bool {
        self.prometheus.firing().await.contains(alert)
    }

    /// Waits until an alert fires.
    pub(super) async fn wait_until_firing(&self, alert: &str) {
        eventually(&format!("{alert} fires"), 2 * PATIENCE, async || {
            self.is_firing(alert).await.then_some(())
        })
        .await;
    }

    /// Waits until the alert does not fire.
    pub(super) async fn wait_until_resolved(&self, alert: &str) {
        eventually(&format!("{alert} resolves"), 2 * PATIENCE, async || {
            (!self.is_firing(alert).await).then_some(())
        })
        .await;
    }
}
