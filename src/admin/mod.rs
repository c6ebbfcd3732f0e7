//! What operators and their machines read on `ADMIN_ADDR`: `/metrics`, `/healthz`, `/readyz`, and the operator's page.
//! Never public.
//!
//! The listener has a thread and two database connections of its own: it answers when all other threads are stuck and
//! all other connections are taken, which is when somebody wants to look.

mod page;

use std::{io, thread, time::Duration};

use axum::{Router, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use queue::Watchdog;
use tokio::{net::TcpListener, sync::oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{AdminConfig, DatabaseConfig},
    database,
    health::{self, Readiness},
    http,
    observer::ObservedMetrics,
};

/// What is shown.
pub(crate) struct Admin {
    /// Who may see it.
    pub(crate) config: AdminConfig,
    /// The database.
    pub(crate) database: DatabaseConfig,
    /// All that is counted.
    pub(crate) metrics: PrometheusHandle,
    /// What is observed in the database, if this process does that.
    pub(crate) observed: ObservedMetrics,
    /// The process's loops.
    pub(crate) watchdog: Watchdog,
    /// Cancelled when the process was asked to stop.
    pub(crate) stop: CancellationToken,
}

impl Admin {
    /// Serves on a thread of its own until `ended`; answers how to wait for its end.
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
                    tracing::debug!("nobody waits for the admin listener any more");
                }
            })?;
        Ok(end)
    }

    fn router(self) -> Router {
        let pool = database::pool_of(&self.database, 2);
        let readiness = Readiness {
            pool: pool.clone(),
            stop: self.stop,
        };
        let (metrics, observed) = (self.metrics, self.observed);
        let all = async move || metrics.render() + &observed.text();
        health::internal(readiness, self.watchdog)
            .route("/metrics", get(all))
            .merge(page::router(&self.config, pool))
    }
}
