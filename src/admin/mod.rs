//! The admin listener on `ADMIN_ADDR`: `/metrics`, `/healthz`, `/readyz`, and the operator's page.
//! It is never public.
//!
//! The listener has its own thread and its own two database connections. So it responds even when
//! all other threads are stuck and all other connections are in use, which is when operators need
//! it.

mod page;

use std::{io, thread, time::Duration};

use axum::{Router, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use queue::{Pool, Watchdog};
use tokio::{net::TcpListener, sync::oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    config::AdminConfig,
    database,
    health::{self, Readiness},
    http,
    observer::ObservedMetrics,
};

/// The admin listener and what it shows.
pub(crate) struct Admin {
    /// The address, and who may see the operator's page.
    pub(crate) config: AdminConfig,
    /// The connections of the process. The operator's page has its own beside them.
    pub(crate) pool: Pool,
    /// Whether the process is ready.
    pub(crate) readiness: Readiness,
    /// The metrics of this process.
    pub(crate) metrics: PrometheusHandle,
    /// The metrics that this process reads from the database, if it is the one that does so.
    pub(crate) observed: ObservedMetrics,
    /// The watchdog over the loops of this process.
    pub(crate) watchdog: Watchdog,
}

impl Admin {
    /// Serves on its own thread until `ended`. Returns a receiver that completes when serving has
    /// ended.
    ///
    /// # Errors
    /// If the system has no more threads or files.
    pub(crate) fn serve(
        self,
        listener: TcpListener,
        ended: CancellationToken,
        grace: Duration,
    ) -> io::Result<oneshot::Receiver<()>> {
        let listener = listener.into_std()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (last, end) = oneshot::channel();
        let serving = async move {
            match TcpListener::from_std(listener) {
                Ok(listener) => http::serve(listener, self.router(), ended, grace).await,
                Err(error) => tracing::error!(%error, "admin cannot listen"),
            }
        };
        thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || {
                runtime.block_on(serving);
                if last.send(()).is_err() {
                    tracing::debug!("no task waits for the admin listener any more");
                }
            })?;
        Ok(end)
    }

    fn router(self) -> Router {
        let pool = self.pool.beside(database::ADMIN_CONNECTIONS);
        let (metrics, observed) = (self.metrics, self.observed);
        let all = async move || metrics.render() + &observed.text();
        health::internal(self.readiness, self.watchdog)
            .route("/metrics", get(all))
            .merge(page::router(&self.config, pool))
    }
}
