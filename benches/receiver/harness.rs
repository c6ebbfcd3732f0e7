//! Starts a Postgres server and two receivers as separate processes: the real one, and one that
//! does everything except storing.

use std::{fs, net::SocketAddr, process::Command};

use metrics_exporter_prometheus::PrometheusBuilder;
use pigeonhole::{
    config::Reader,
    services::{Role, Services, ServicesConfig},
};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{
    process::{BenchProcess, until_stdin_closes},
    setup::{BenchServer, env},
};

/// The variable that turns this program into a receiver. Its value names the database, or is
/// `none`.
const CHILD: &str = "RECEIVER_BENCH_DATABASE";

pub(crate) struct ReceiverHarness {
    server: BenchServer,
    pool: PgPool,
    url: String,
    pub(crate) with_database: SocketAddr,
    pub(crate) without_database: SocketAddr,
    /// The one with a database first.
    receivers: [BenchProcess; 2],
}

impl ReceiverHarness {
    pub(crate) async fn start() -> Self {
        let server = BenchServer::start().await;
        let (url, pool) = server.database("bench").await;
        let (first, with_database) = BenchProcess::start(CHILD, &url);
        let (second, without_database) = BenchProcess::start(CHILD, "none");
        Self {
            server,
            pool,
            url,
            with_database: with_database.parse().unwrap(),
            without_database: without_database.parse().unwrap(),
            receivers: [first, second],
        }
    }

    /// Returns the single-row inserts per second of `pgbench`, with one commit each.
    pub(crate) fn plain_inserts(&self, clients: u32, seconds: u64) -> f64 {
        let script = tempfile::NamedTempFile::new().unwrap();
        let sql = format!("insert into floor (body) values ('{}');\n", "x".repeat(600));
        fs::write(script.path(), sql).unwrap();
        let psql = Command::new(self.server.postgres.bin_dir().join("psql"))
            .args(["-qc", "create table floor (id bigint generated always as identity primary key, body text)"])
            .arg(&self.url)
            .status();
        assert!(psql.unwrap().success());
        let output = Command::new(self.server.postgres.bin_dir().join("pgbench"))
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
        self.receivers[0].peak_mib()
    }
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
    let env = match database {
        "none" => env("postgres://nobody@127.0.0.1:1/none"),
        url => env(url),
    };
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
    until_stdin_closes().await;
    stop.cancel();
}
