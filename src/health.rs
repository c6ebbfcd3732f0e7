//! Health checks: is the process alive, and is it ready?

use std::{fmt::Write, time::Duration};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use queue::Watchdog;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

/// How long the database may take.
const DEADLINE: Duration = Duration::from_secs(1);

type HealthResponse = (StatusCode, &'static str);

/// What a process needs to be ready: a migrated database, and no request to stop.
#[derive(Debug, Clone)]
pub(crate) struct Readiness {
    /// Reaches the database.
    pub(crate) pool: PgPool,
    /// Cancelled when the process was asked to stop.
    pub(crate) stop: CancellationToken,
}

/// The checks of the receiver, for a load balancer. A process that responds is alive.
pub(crate) fn public(readiness: Readiness) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .merge(ready(readiness))
}

/// The checks of every process, for an orchestrator. A process whose loops run is alive.
pub(crate) fn internal(readiness: Readiness, watchdog: Watchdog) -> Router {
    Router::new()
        .route("/healthz", get(async move || healthz(&watchdog)))
        .merge(ready(readiness))
}

fn ready(readiness: Readiness) -> Router {
    Router::new()
        .route("/readyz", get(readyz))
        .with_state(readiness)
}

fn healthz(watchdog: &Watchdog) -> (StatusCode, String) {
    let stuck = watchdog.stuck();
    if stuck.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let mut body = "stuck, so it must be restarted:\n".to_owned();
    for of in &stuck {
        let seconds = of.silent_for.as_secs();
        if writeln!(body, "{}: no heartbeat for {seconds} s", of.name).is_err() {
            break; // writing to a string does not fail
        }
    }
    (StatusCode::SERVICE_UNAVAILABLE, body)
}

async fn readyz(State(Readiness { pool, stop }): State<Readiness>) -> HealthResponse {
    let unready = |why| (StatusCode::SERVICE_UNAVAILABLE, why);
    if stop.is_cancelled() {
        return unready("the process is stopping\n");
    }
    let check = async {
        let mut conn = pool.acquire().await?;
        store::is_current(&mut conn).await
    };
    match tokio::time::timeout(DEADLINE, check).await {
        Ok(Ok(true)) => (StatusCode::OK, "ready\n"),
        Ok(Ok(false)) => unready("the database is not migrated: run `pigeonhole migrate`\n"),
        Ok(Err(error)) if error.is_unavailable() => unready("the database does not respond\n"),
        Err(_) => unready("the database does not respond\n"),
        Ok(Err(_)) => unready("the database cannot be read\n"),
    }
}
