//! Is the process alive, and can it serve?

use std::{fmt::Write, time::Duration};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use queue::Pulse;
use sqlx::PgPool;
use store::StoreError;
use tokio_util::sync::CancellationToken;

/// How long the database may take to answer.
const DEADLINE: Duration = Duration::from_secs(1);

type Answer = (StatusCode, &'static str);

/// What it takes to serve: a database that knows our migrations, and time.
#[derive(Debug, Clone)]
pub(crate) struct Readiness {
    /// Reaches the database.
    pub(crate) pool: PgPool,
    /// Cancelled when the process was asked to stop.
    pub(crate) stop: CancellationToken,
}

/// What a balancer asks the receiver: alive is who answers.
pub(crate) fn public(readiness: Readiness) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .merge(ready(readiness))
}

/// What an orchestrator asks any process: alive is whose loops go on.
pub(crate) fn internal(readiness: Readiness, pulse: Pulse) -> Router {
    Router::new()
        .route("/healthz", get(async move || healthz(&pulse)))
        .merge(ready(readiness))
}

fn ready(readiness: Readiness) -> Router {
    Router::new()
        .route("/readyz", get(readyz))
        .with_state(readiness)
}

fn healthz(pulse: &Pulse) -> (StatusCode, String) {
    let stuck = pulse.stuck();
    if stuck.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let mut body = "stuck, and wants to be started again:\n".to_owned();
    for of in &stuck {
        let seconds = of.silent_for.as_secs();
        if writeln!(body, "{}: no sign of life for {seconds} s", of.name).is_err() {
            break; // text does not fail to be written
        }
    }
    (StatusCode::SERVICE_UNAVAILABLE, body)
}

async fn readyz(State(Readiness { pool, stop }): State<Readiness>) -> Answer {
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
        Ok(Err(StoreError::Unavailable(_))) | Err(_) => unready("the database does not answer\n"),
        Ok(Err(_)) => unready("the database cannot be read\n"),
    }
}
