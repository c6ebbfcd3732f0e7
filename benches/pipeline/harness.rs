//! Starts a Postgres server, and a receiver and a worker as separate processes that log.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
};

use embedded_postgres::{PostgresServer, PostgresSettings};
use metrics_exporter_prometheus::PrometheusBuilder;
use pigeonhole::{
    config::{Env, LogConfig, Reader},
    services::{Role, Services, ServicesConfig},
    telemetry,
};
use sqlx::PgPool;
use store::{E164, user_phone_numbers, users};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The variable that turns this program into a receiver or a worker. Its value names the role and
/// the database.
const CHILD: &str = "PIPELINE_BENCH_CHILD";

pub(crate) const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const PUBLIC: &str = "https://sms.example.com";

/// The number of users that send in turn.
pub(crate) const USERS: u64 = 1000;

/// The phone number of a user.
pub(crate) fn number(user: u64) -> String {
    format!("+1202555{user:04}")
}

pub(crate) struct PipelineHarness {
    pub(crate) server: PostgresServer,
    pub(crate) pool: PgPool,
    pub(crate) pgbench_url: String,
    pub(crate) pgbench_pool: PgPool,
    pub(crate) receiver: SocketAddr,
    processes: [BenchProcess; 2],
    _dir: tempfile::TempDir,
}

/// A process that ends when its standard input closes.
struct BenchProcess {
    child: Child,
    _stdin: ChildStdin,
}

impl Drop for BenchProcess {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl PipelineHarness {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("pipeline-bench-")
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
        let server = server.await.unwrap().unwrap();
        let (url, pool) = database(&server, "pipeline").await;
        let (pgbench_url, pgbench_pool) = database(&server, "one_by_one").await;
        let (receiver, addr) = start_process("receiver", &url);
        let (worker, _) = start_process("worker", &url);
        let harness = Self {
            server,
            pool,
            pgbench_url,
            pgbench_pool,
            receiver: addr.parse().unwrap(),
            processes: [receiver, worker],
            _dir: dir,
        };
        harness.link(&url).await;
        harness
    }

    async fn link(&self, url: &str) {
        let env = env(url);
        let keyring = Reader::read(&env, pigeonhole::config::keyring).unwrap();
        let mut conn = self.pool.acquire().await.unwrap();
        for user in 0..USERS {
            let (id, number) = (Uuid::from_u128(user.into()), number(user));
            users::ensure(&mut conn, id).await.unwrap();
            user_phone_numbers::link(&mut conn, &keyring, id, &E164::parse(&number).unwrap())
                .await
                .unwrap();
        }
    }

    /// The number of messages that have not ended yet.
    pub(crate) async fn backlog(&self) -> i64 {
        sqlx::query_scalar("select count(*) from queue.jobs where kind = 'process_message'")
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// Returns the number of items and the bytes of a message's sealed fields. Panics unless every
    /// ended message made two items.
    pub(crate) async fn account(&self) -> (i64, i64) {
        let (ended, items, bytes): (i64, i64, i64) = sqlx::query_as(
            "select (select count(*) from pigeonhole.inbound_messages where state = 'processed'),
                (select count(*) from enrichment_items),
                (select avg(octet_length(sealed))::bigint from pigeonhole.inbound_messages)",
        )
        .fetch_one(&self.pool)
        .await
        .unwrap();
        assert_eq!(items, ended * 2);
        (items, bytes)
    }

    /// The peak memory of the receiver and of the worker.
    pub(crate) fn peaks_mib(&self) -> [u64; 2] {
        self.processes.each_ref().map(|process| {
            let file = format!("/proc/{}/status", process.child.id());
            let status = fs::read_to_string(file).unwrap_or_default();
            let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = peak.and_then(|text| text.trim().trim_end_matches(" kB").trim().parse().ok());
            kib.unwrap_or(0_u64) / 1024
        })
    }
}

async fn database(server: &PostgresServer, name: &str) -> (String, PgPool) {
    let url = server.ensure_database(name).await.unwrap();
    let pool = PgPool::connect(&url).await.unwrap();
    store::migrate(&pool).await.unwrap();
    (url, pool)
}

/// Its first line of output is its address.
fn start_process(role: &str, url: &str) -> (BenchProcess, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env(CHILD, format!("{role} {url}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let stdin = child.stdin.take().unwrap();
    let process = BenchProcess {
        child,
        _stdin: stdin,
    };
    (process, line.trim().to_owned())
}

/// The role of this process, if it is a child.
#[expect(
    clippy::disallowed_methods,
    reason = "how the benchmark starts its processes"
)]
pub(crate) fn child() -> Option<(Role, String)> {
    let child = std::env::var(CHILD).ok()?;
    let (role, url) = child.split_once(' ')?;
    let role = if role == "worker" {
        Role::Worker
    } else {
        Role::Receiver
    };
    Some((role, url.to_owned()))
}

/// Runs until standard input closes.
#[tokio::main]
pub(crate) async fn serve(role: Role, url: &str) {
    let env = env(url);
    telemetry::init_logs(&Reader::read(&env, LogConfig::read).unwrap()).unwrap();
    let config = Reader::read(&env, |r| ServicesConfig::read(r, role)).unwrap();
    let stop = CancellationToken::new();
    let recorder = PrometheusBuilder::new().install_recorder().unwrap();
    let services = Services::start(config, recorder, stop.clone())
        .await
        .unwrap();
    println!("{}", services.receiver_addr.unwrap_or(services.admin_addr));
    tokio::spawn(services.finished());
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    ended.await.unwrap().unwrap();
    stop.cancel();
}

/// The default settings, except the rate limit, which the benchmark's load exceeds.
fn env(url: &str) -> Env {
    let values = [
        ("DATABASE_URL", url),
        ("MEDIA_STORE", "file:///var/tmp/pigeonhole-bench-media"),
        ("LISTEN_ADDR", "127.0.0.1:0"),
        ("ADMIN_ADDR", "127.0.0.1:0"),
        ("PUBLIC_BASE_URL", PUBLIC),
        ("TWILIO_ACCOUNT_SID", ACCOUNT),
        ("TWILIO_AUTH_TOKEN", TOKEN),
        ("RATE_LIMIT_BURST", "1000000"),
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
