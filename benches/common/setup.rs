//! What all benchmarks of the program share: their account at Twilio, the settings of a process, and
//! a Postgres server with a folder of its own.

use std::{collections::BTreeMap, fs};

use embedded_postgres::{PostgresServer, PostgresSettings};
use pigeonhole::config::Env;
use sqlx::PgPool;

pub(crate) const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const PUBLIC: &str = "https://sms.example.com";

/// The default settings on this database, except the rate limit, which the load of a benchmark
/// exceeds, and recovery, which needs a Twilio.
pub(crate) fn env(database: &str) -> Env {
    let values = [
        ("DATABASE_URL", database),
        ("MEDIA_STORE", "file:///var/tmp/pigeonhole-bench-media"),
        ("RATE_LIMIT_BURST", "1000000"),
        ("RECOVERY", "off"),
        ("LISTEN_ADDR", "127.0.0.1:0"),
        ("ADMIN_ADDR", "127.0.0.1:0"),
        ("PUBLIC_BASE_URL", PUBLIC),
        ("TWILIO_ACCOUNT_SID", ACCOUNT),
        ("TWILIO_AUTH_TOKEN", TOKEN),
        (
            "ENCRYPTION_KEY",
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        ),
    ];
    let values: BTreeMap<String, String> = values
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Env::of(values)
}

/// A Postgres server with durable commits, in a folder that is deleted at the end.
pub(crate) struct BenchServer {
    pub(crate) postgres: PostgresServer,
    _dir: tempfile::TempDir,
}

impl BenchServer {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("pigeonhole-bench-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(dir.path(), open).unwrap();
        let kept = dir.path().join("postgres");
        let settings = PostgresSettings::default()
            .set("max_wal_size", "4GB")
            .set("shared_buffers", "256MB");
        let server =
            tokio::task::spawn_blocking(move || PostgresServer::start_kept(&kept, settings));
        Self {
            postgres: server.await.unwrap().unwrap(),
            _dir: dir,
        }
    }

    /// A database with our tables: its URL and a pool.
    pub(crate) async fn database(&self, name: &str) -> (String, PgPool) {
        let url = self.postgres.ensure_database(name).await.unwrap();
        let pool = PgPool::connect(&url).await.unwrap();
        store::migrate(&pool).await.unwrap();
        (url, pool)
    }
}
