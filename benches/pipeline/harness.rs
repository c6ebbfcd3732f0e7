//! Starts a Postgres server, and a receiver and a worker as separate processes that log.

use std::net::SocketAddr;

use metrics_exporter_prometheus::PrometheusBuilder;
use pigeonhole::{
    config::{LogConfig, Reader},
    services::{Role, Services, ServicesConfig},
    telemetry,
};
use sqlx::PgPool;
use store::{E164, user_phone_numbers, users};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    process::{BenchProcess, until_stdin_closes},
    setup::{BenchServer, env},
};

/// The variable that turns this program into a receiver or a worker. Its value names the role and
/// the database.
const CHILD: &str = "PIPELINE_BENCH_CHILD";

/// The number of users that send in turn.
pub(crate) const USERS: u64 = 1000;

/// The phone number of a user.
pub(crate) fn number(user: u64) -> String {
    format!("+1202555{user:04}")
}

pub(crate) struct PipelineHarness {
    pub(crate) server: BenchServer,
    pub(crate) pool: PgPool,
    pub(crate) pgbench_url: String,
    pub(crate) pgbench_pool: PgPool,
    pub(crate) receiver: SocketAddr,
    processes: [BenchProcess; 2],
}

impl PipelineHarness {
    pub(crate) async fn start() -> Self {
        let server = BenchServer::start().await;
        let (url, pool) = server.database("pipeline").await;
        let (pgbench_url, pgbench_pool) = server.database("one_by_one").await;
        let (receiver, addr) = BenchProcess::start(CHILD, &format!("receiver {url}"));
        let (worker, _) = BenchProcess::start(CHILD, &format!("worker {url}"));
        let harness = Self {
            server,
            pool,
            pgbench_url,
            pgbench_pool,
            receiver: addr.parse().unwrap(),
            processes: [receiver, worker],
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
        self.processes.each_ref().map(BenchProcess::peak_mib)
    }
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
    until_stdin_closes().await;
    stop.cancel();
}
