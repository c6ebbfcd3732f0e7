//! One process's services: receiver, worker, or both, with the admin listener; their start, drain and stop.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use queue::{Pulse, Waker};
use sqlx::PgPool;
use store::Keyring;
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    admin::Admin,
    config::{
        ApiConfig, DatabaseConfig, ProcessConfig, Reader, ReceiverConfig, WorkerConfig, keyring,
    },
    database,
    health::{self, Readiness},
    http,
    metrics::process,
    observer::{self, Page},
    receiver::{Receiver, api::Api},
    worker,
};

/// How long to wait in the end for connections that are busy. A job that was cut off leaves its statement running, and
/// the connection comes back only when Postgres has answered, which may be never.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// What a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The receiver alone.
    Receiver,
    /// A worker alone.
    Worker,
    /// Both.
    Both,
}

/// Everything the services of a process need to know.
#[derive(Debug, Clone)]
pub struct ServicesConfig {
    /// The database.
    pub database: DatabaseConfig,
    /// The keys for personal data.
    pub keyring: Arc<Keyring>,
    /// Admin listener and grace period.
    pub process: ProcessConfig,
    /// Present if the process has a receiver.
    pub receiver: Option<ReceiverConfig>,
    /// Present if the receiver has the phone number API.
    pub api: Option<ApiConfig>,
    /// Present if the process has a worker.
    pub worker: Option<WorkerConfig>,
}

impl Role {
    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::Worker => "worker",
            Self::Both => "both",
        }
    }
}

impl ServicesConfig {
    fn role(&self) -> Role {
        match (&self.receiver, &self.worker) {
            (Some(_), Some(_)) => Role::Both,
            (None, Some(_)) => Role::Worker,
            (_, None) => Role::Receiver,
        }
    }

    /// The media store's folder, where it is one.
    fn media_folder(&self) -> Option<PathBuf> {
        let url = &self.worker.as_ref()?.media.store.url;
        (url.scheme() == "file").then(|| url.to_file_path().ok())?
    }

    /// Reads what this role needs.
    pub fn read(r: &mut Reader<'_>, role: Role) -> Option<Self> {
        let (database, keyring) = (DatabaseConfig::read(r), keyring(r));
        let process = ProcessConfig::read(r);
        let receiver = (role != Role::Worker).then(|| ReceiverConfig::read(r));
        let api = (role != Role::Worker).then(|| ApiConfig::read(r));
        let worker = (role != Role::Receiver).then(|| WorkerConfig::read(r));
        Some(Self {
            database: database?,
            keyring: Arc::new(keyring?),
            process: process?,
            receiver: transpose(receiver)?,
            api: transpose(api)?.flatten(),
            worker: transpose(worker)?,
        })
    }
}

/// `None` if it was read and is wrong.
#[expect(
    clippy::option_option,
    reason = "not wanted and wrong are different answers"
)]
fn transpose<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
        None => Some(None),
    }
}

/// Running services.
#[derive(Debug)]
pub struct Services {
    /// The pool they share.
    pub pool: PgPool,
    /// Where the receiver listens, if there is one.
    pub receiver_addr: Option<SocketAddr>,
    /// Where metrics and health are served.
    pub admin_addr: SocketAddr,
    running: JoinSet<anyhow::Result<()>>,
    /// Ends the admin listener.
    ended: DropGuard,
    admin: oneshot::Receiver<()>,
    /// What watches. It ends with the rest, and nobody minds how.
    beside: JoinSet<()>,
}

impl Services {
    /// Binds the listeners and starts everything. The database need not be there yet.
    ///
    /// # Errors
    /// If an address cannot be bound.
    pub async fn start(
        config: ServicesConfig,
        metrics: PrometheusHandle,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let pool = database::pool(&config.database);
        let (grace, pulse) = (config.process.grace, Pulse::new(config.process.stuck_after));
        let listener = bind("ADMIN_ADDR", config.process.admin.addr).await?;
        let admin_addr = listener.local_addr()?;
        tracing::info!(addr = %admin_addr, "admin listens");
        let observed = Page::default();
        let watch = process::Watch {
            role: config.role(),
            pool: pool.clone(),
            folder: config.media_folder(),
            metrics: metrics.clone(),
        };
        let admin = Admin {
            config: config.process.admin,
            database: config.database,
            metrics,
            observed: observed.clone(),
            pulse: pulse.clone(),
            stop: stop.clone(),
        };
        // It answers until the rest has ended: a stop that takes long should be seen.
        let ended = CancellationToken::new();
        let admin = admin
            .serve(listener, ended.clone(), grace)
            .context("cannot start the admin listener")?;
        let alive = pulse.beat("threads");
        let mut beside = JoinSet::new();
        beside.spawn(watch.run(ended.clone()));
        beside.spawn(async move { match alive.meanwhile().await {} });
        let mut services = Self {
            pool: pool.clone(),
            receiver_addr: None,
            admin_addr,
            running: JoinSet::new(),
            ended: ended.clone().drop_guard(),
            admin,
            beside,
        };
        if let Some(receiver) = &config.receiver {
            let waker = Waker::start(&pool);
            let listener = bind("LISTEN_ADDR", receiver.listen).await?;
            let addr = listener.local_addr()?;
            services.receiver_addr = Some(addr);
            let mut routes =
                Receiver::new(receiver, pool.clone(), config.keyring.clone(), &waker)?.router();
            if let Some(api) = &config.api {
                let api = Api::start(api, pool.clone(), config.keyring.clone(), &waker)?;
                routes = routes.merge(api.router());
            }
            let readiness = Readiness {
                pool: pool.clone(),
                stop: stop.clone(),
            };
            routes = routes.merge(health::public(readiness));
            tracing::info!(%addr, public = receiver.public_base_url, "receiver listens");
            let close = closing(&stop, config.process.delay);
            let serving = http::serve(listener, routes, close, grace);
            services.running.spawn(async move {
                serving.await;
                Ok(())
            });
        }
        if let Some(worker) = &config.worker {
            let (page, keyring) = (observed, config.keyring.clone());
            let watch = observer::Watch::new(&worker.observer, pool.clone(), keyring, page);
            services.beside.spawn(watch.run(stop.clone()));
            let runner = worker::runner(worker, pool.clone(), config.keyring.clone(), grace)?
                .with_pulse(&pulse);
            tracing::info!(concurrency = worker.concurrency, "worker runs");
            services
                .running
                .spawn(async move { Ok(runner.run(stop).await?) });
        }
        Ok(services)
    }

    /// Waits until the services have been stopped and have drained.
    ///
    /// # Errors
    /// If one of them died, which ends the process: somebody should start it again.
    pub async fn finished(mut self) -> anyhow::Result<()> {
        while let Some(ended) = self.running.join_next().await {
            ended.context("a service panicked")??;
        }
        drop(self.ended);
        self.admin.await.context("the admin listener panicked")?;
        self.beside.shutdown().await;
        if timeout(CLOSE_LIMIT, self.pool.close()).await.is_err() {
            tracing::warn!("some database connections were still busy and are dropped");
        }
        Ok(())
    }
}

/// Cancelled so long after `stop`: meanwhile a balancer sees that the process is not ready, and turns to others.
fn closing(stop: &CancellationToken, delay: Duration) -> CancellationToken {
    if delay.is_zero() {
        return stop.clone();
    }
    let (stop, close) = (stop.clone(), CancellationToken::new());
    let closing = close.clone();
    tokio::spawn(async move {
        stop.cancelled().await;
        tokio::time::sleep(delay).await;
        close.cancel();
    });
    closing
}

async fn bind(name: &str, addr: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr)
        .await
        .with_context(|| format!("cannot listen on {addr}: is it in use? {name} names another"))
}
