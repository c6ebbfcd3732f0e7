//! Starts a Postgres server and two receivers as separate processes: the real one, and one that
//! does everything except storing.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use embedded_postgres::{PostgresServer, PostgresSettings};
use metrics_exporter_prometheus::PrometheusBuilder;
use pigeonhole::{
    config::{Env, Reader},
    services::{Role, Services, ServicesConfig},
};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

/// The variable that turns this program into a receiver. Its value names the database, or is
/// `none`.
const CHILD: &str = "RECEIVER_BENCH_DATABASE";

pub(crate) const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const PUBLIC: &str = "https://sms.example.com";

pub(crate) struct ReceiverHarness {
    server: PostgresServer,
    pool: PgPool,
    url: String,
    pub(crate) with_database: SocketAddr,
    pub(crate) without_database: SocketAddr,
    receivers: Vec<ReceiverProcess>,
    _dir: tempfile::TempDir,
}

/// A receiver process; it ends when its standard input closes.
struct ReceiverProcess {
    process: Child,
    _stdin: ChildStdin,
}

impl Drop for ReceiverProcess {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl ReceiverHarness {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("receiver-bench-")
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
        let url = server.ensure_database("bench").await.unwrap();
        let pool = PgPool::connect(&url).await.unwrap();
        store::migrate(&pool).await.unwrap();
        let (first, with_database) = start_receiver(&url);
        let (second, without_database) = start_receiver("none");
        Self {
            server,
            pool,
            url,
            with_database,
            without_database,
            receivers: vec![first, second],
            _dir: dir,
        }
    }

    /// Returns the single-row inserts per second of `pgbench`, with one commit each.
    pub(crate) fn plain_inserts(&self, clients: u32, seconds: u64) -> f64 {
        let script = tempfile::NamedTempFile::new().unwrap();
        let sql = format!("insert into floor (body) values ('{}');\n", "x".repeat(600));
        fs::write(script.path(), sql).unwrap();
        let psql = Command::new(self.server.bin_dir().join("psql"))
            .args(["-qc", "create table floor (id bigint generated always as identity primary key, body text)"])
            .arg(&self.url)
            .status();
        assert!(psql.unwrap().success());
        let output = Command::new(self.server.bin_dir().join("pgbench"))
            .args([
                "-n",
                "-M",
                "prepared",
                "-c",
                &clients.to_string(),
                "-T",
                &seconds.to_string(),
                "-f",
            ])
            .arg(script.path())
            .arg(&self.url)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let tps = text
            .lines()
            .find_map(|line| line.strip_prefix("tps = "))
            .unwrap();
        tps.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Returns the number of stored messages. Panics unless each has its job.
    pub(crate) async fn stored(&self) -> i64 {
        let (messages, jobs): (i64, i64) = sqlx::query_as(
            "select (select count(*) from pigeonhole.inbound_messages), (select count(*) from queue.jobs)",
        )
        .fetch_one(&self.pool)
        .await
        .unwrap();
        assert_eq!(messages, jobs);
        messages
    }

    pub(crate) fn receiver_peak_mib(&self) -> u64 {
        let file = format!("/proc/{}/status", self.receivers[0].process.id());
        let status = fs::read_to_string(Path::new(&file)).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak.and_then(|text| {
            text.trim()
                .trim_end_matches(" kB")
                .trim()
                .parse::<u64>()
                .ok()
        })
        .unwrap_or(0)
            / 1024
    }
}

fn start_receiver(database: &str) -> (ReceiverProcess, SocketAddr) {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .env(CHILD, database)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let addr = line.trim().parse().unwrap();
    let stdin = process.stdin.take().unwrap();
    (
        ReceiverProcess {
            process,
            _stdin: stdin,
        },
        addr,
    )
}

/// The database of this process, if it is a receiver.
#[expect(
    clippy::disallowed_methods,
    reason = "how the benchmark starts its receivers"
)]
pub(crate) fn child() -> Option<String> {
    std::env::var(CHILD).ok()
}

/// Runs a receiver until standard input closes. Its first line of output is its address.
#[tokio::main]
pub(crate) async fn serve(database: &str) {
    let values = [
        (
            "DATABASE_URL",
            if database == "none" {
                "postgres://nobody@127.0.0.1:1/none"
            } else {
                database
            },
        ),
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
    let env = Env::of(values);
    let config = Reader::read(&env, |r| ServicesConfig::read(r, Role::Receiver)).unwrap();
    let stop = CancellationToken::new();
    if database == "none" {
        let receiver = config.receiver.unwrap();
        let pool = pigeonhole::database::pool(&config.database);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        let routes = pigeonhole::receiver::Receiver::discarding(&receiver, pool, config.keyring)
            .unwrap()
            .router();
        tokio::spawn(pigeonhole::http::serve(
            listener,
            routes,
            stop.clone(),
            std::time::Duration::ZERO,
        ));
    } else {
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let services = Services::start(config, metrics, stop.clone())
            .await
            .unwrap();
        println!("{}", services.receiver_addr.unwrap());
        tokio::spawn(services.finished());
    }
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    ended.await.unwrap().unwrap();
    stop.cancel();
}
