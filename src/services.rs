//! The services of one process: receiver, worker, or both, with the admin listener. How they start,
//! drain and stop.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use queue::{Pool, Waker, Watchdog};
use store::Keyring;
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use crate::process_identity::Role;

use crate::{
    admin::Admin,
    config::{
        ApiConfig, DatabaseConfig, ProcessConfig, Reader, ReceiverConfig, WorkerConfig, keyring,
    },
    database,
    health::{self, Readiness},
    http,
    metrics::process::ProcessMetrics,
    observer::{ObservedMetrics, ObserverTask},
    receiver::{Receiver, api::Api},
    recovery_trigger::RecoveryTrigger,
    worker,
};

/// How long a stopping process waits for busy connections. A job that was cut off leaves its
/// statement running, and its connection is busy until Postgres returns a result, which may be
/// never.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// The configuration of a process's services.
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

impl ServicesConfig {
    fn role(&self) -> Role {
        match (&self.receiver, &self.worker) {
            (Some(_), Some(_)) => Role::Both,
            (None, Some(_)) => Role::Worker,
            (_, None) => Role::Receiver,
        }
    }

    /// The media store's folder, if the store is a folder.
    fn media_folder(&self) -> Option<PathBuf> {
        let url = &self.worker.as_ref()?.media.store.url;
        (url.scheme() == "file").then(|| url.to_file_path().ok())?
    }

    /// Reads the settings of this role.
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

/// `None` if the settings were read and are wrong.
#[expect(
    clippy::option_option,
    reason = "a part that is not read differs from one that is wrong"
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
    pub pool: Pool,
    /// Where the receiver listens, if there is one.
    pub receiver_addr: Option<SocketAddr>,
    /// Where metrics and health are served.
    pub admin_addr: SocketAddr,
    running: JoinSet<anyhow::Result<()>>,
    /// Dropped to end the admin listener.
    ended: DropGuard,
    admin: oneshot::Receiver<()>,
    /// Tasks that measure. They end with the services, and their result does not matter.
    observers: JoinSet<()>,
}

impl Services {
    /// Binds the listeners and starts the services. The database may still be away.
    ///
    /// # Errors
    /// If an address cannot be bound.
    pub async fn start(
        config: ServicesConfig,
        metrics: PrometheusHandle,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let pool = database::pool(&config.database);
        let (grace, watchdog) = (
            config.process.grace,
            Watchdog::new(config.process.stuck_after),
        );
        let listener = bind("ADMIN_ADDR", config.process.admin.addr).await?;
        let admin_addr = listener.local_addr()?;
        tracing::info!(addr = %admin_addr, "admin listens");
        let observed = ObservedMetrics::default();
        let process = ProcessMetrics {
            role: config.role(),
            pool: pool.clone(),
            folder: config.media_folder(),
            metrics: metrics.clone(),
        };
        let admin = Admin {
            config: config.process.admin.clone(),
            pool: pool.clone(),
            readiness: Readiness::new(pool.clone(), stop.clone()),
            metrics,
            observed: observed.clone(),
            watchdog: watchdog.clone(),
        };
        // The admin listener runs until the services have ended, so that operators see a slow stop.
        let ended = CancellationToken::new();
        let admin = admin
            .serve(listener, ended.clone(), grace)
            .context("cannot start the admin listener")?;
        let alive = watchdog.heartbeat("threads");
        let mut observers = JoinSet::new();
        observers.spawn(process.run(ended.clone()));
        observers.spawn(async move { match alive.keep_beating().await {} });
        let mut services = Self {
            pool: pool.clone(),
            receiver_addr: None,
            admin_addr,
            running: JoinSet::new(),
            ended: ended.clone().drop_guard(),
            admin,
            observers,
        };
        if let Some(receiver) = &config.receiver {
            services.start_receiver(receiver, &config, &stop).await?;
        }
        if let Some(worker) = &config.worker {
            services.start_worker(worker, &config, observed, &watchdog, stop)?;
        }
        Ok(services)
    }

    async fn start_receiver(
        &mut self,
        receiver: &ReceiverConfig,
        config: &ServicesConfig,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let (pool, keyring) = (&self.pool, &config.keyring);
        let waker = Waker::start(pool);
        let listener = bind("LISTEN_ADDR", receiver.listen).await?;
        let addr = listener.local_addr()?;
        self.receiver_addr = Some(addr);
        let mut routes = Receiver::new(receiver, pool.clone(), keyring.clone(), &waker)?.router();
        if let Some(api) = &config.api {
            let api = Api::start(api, pool.clone(), keyring.clone(), &waker)?;
            routes = routes.merge(api.router());
        }
        let readiness = Readiness::new(pool.clone(), stop.clone());
        routes = routes.merge(health::public(readiness));
        tracing::info!(%addr, public = receiver.public_base_url, "receiver listens");
        let close = closing(stop, config.process.delay);
        let serving = http::serve(listener, routes, close, config.process.grace);
        self.running.spawn(async move {
            serving.await;
            Ok(())
        });
        Ok(())
    }

    fn start_worker(
        &mut self,
        worker: &WorkerConfig,
        config: &ServicesConfig,
        observed: ObservedMetrics,
        watchdog: &Watchdog,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let (pool, keyring) = (&self.pool, &config.keyring);
        let task = ObserverTask::new(
            &worker.observer,
            worker.recovery.is_some(),
            pool.clone(),
            keyring.clone(),
            observed,
        );
        let grace = config.process.grace;
        let runner =
            worker::runner(worker, pool.clone(), keyring.clone(), grace)?.with_watchdog(watchdog);
        tracing::info!(concurrency = worker.concurrency, "worker runs");
        if worker.recovery.is_some() {
            // Its first look is enqueued although it is dropped here.
            drop(RecoveryTrigger::start(pool.clone()));
        }
        self.observers.spawn(task.run(stop.clone()));
        self.running
            .spawn(async move { Ok(runner.run(stop).await?) });
        Ok(())
    }

    /// Waits until the services have been stopped and have drained.
    ///
    /// # Errors
    /// If one of them died. That ends the process, so that a supervisor starts it again.
    pub async fn finished(mut self) -> anyhow::Result<()> {
        while let Some(ended) = self.running.join_next().await {
            ended.context("a service panicked")??;
        }
        drop(self.ended);
        self.admin.await.context("the admin listener panicked")?;
        self.observers.shutdown().await;
        if timeout(CLOSE_LIMIT, self.pool.close()).await.is_err() {
            tracing::warn!("some database connections were still busy and are dropped");
        }
        Ok(())
    }
}

/// A token that is cancelled after this delay from `stop`. Meanwhile a load balancer sees that the
/// process is not ready, and sends requests to other processes.
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
    TcpListener::bind(addr).await.with_context(|| {
        format!("cannot listen on {addr}: is it in use? {name} sets another address")
    })
}
