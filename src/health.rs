//! Health checks: is the process alive, and is it ready?

use std::{fmt::Write, sync::Arc, time::Duration};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use queue::{Pool, Watchdog};
use store::StoreError;
use tokio::{
    runtime::Handle,
    sync::Mutex,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// How long the database may take.
const DEADLINE: Duration = Duration::from_secs(1);

/// After a commit was refused, the process is ready again when one was accepted, or when none was
/// refused for this long: a load balancer sends no requests to a process that is not ready.
const TRUST_AGAIN: Duration = Duration::from_secs(3);

/// What a process needs to be ready: a migrated database that takes writes, and no request to stop.
#[derive(Debug, Clone)]
pub(crate) struct Readiness {
    /// The connections of the requests and jobs. If none of them is free, the process is not ready.
    pool: Pool,
    /// Where they are used. The admin listener has a thread of its own.
    runtime: Handle,
    /// Cancelled when the process was asked to stop.
    stop: CancellationToken,
    /// The last answer, and when it was asked for.
    last: Arc<Mutex<Option<(Instant, Verdict)>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ready,
    NotMigrated,
    ReadOnly,
    Refused,
    NoResponse,
    Unreadable,
}

impl Readiness {
    /// The readiness of what runs in this runtime.
    pub(crate) fn new(pool: Pool, stop: CancellationToken) -> Self {
        Self {
            pool,
            runtime: Handle::current(),
            stop,
            last: Arc::default(),
        }
    }

    /// Asks the database. Those who ask meanwhile share the next answer, as anyone may ask the
    /// receiver.
    async fn verdict(&self) -> Verdict {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((at, verdict)) = *last
            && at >= asked
        {
            return verdict;
        }
        let started = Instant::now();
        let check = self.runtime.spawn(check(self.pool.clone()));
        // The task may never run, if all threads are stuck.
        let verdict = match timeout(2 * DEADLINE, check).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(_)) | Err(_) => Verdict::NoResponse,
        };
        *last = Some((started, verdict));
        verdict
    }
}

/// Commits, as a webhook would.
async fn check(pool: Pool) -> Verdict {
    let checking = async {
        let mut conn = pool.acquire().await?;
        if !store::is_current(&mut conn).await? {
            return Ok(Verdict::NotMigrated);
        }
        let Some(last_refused) = pool.last_refused() else {
            store::probe_commit(&mut conn).await?;
            return Ok(Verdict::Ready);
        };
        // The other probe works on a full disk, too.
        store::probe_write(&mut conn).await?;
        if last_refused < TRUST_AGAIN {
            Ok(Verdict::Refused)
        } else {
            Ok(Verdict::Ready)
        }
    };
    match timeout(DEADLINE, checking).await {
        Ok(Ok(verdict)) => verdict,
        // The pool waits for a server that can be written to.
        Ok(Err(_)) | Err(_) if pool.is_read_only() => Verdict::ReadOnly,
        Ok(Err(StoreError::Unavailable(error))) if error.code().is_some() => Verdict::Refused,
        Ok(Err(error)) if error.is_unavailable() => Verdict::NoResponse,
        Ok(Err(_)) => Verdict::Unreadable,
        Err(_) => Verdict::NoResponse,
    }
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

async fn readyz(State(readiness): State<Readiness>) -> (StatusCode, &'static str) {
    let why = if readiness.stop.is_cancelled() {
        "the process is stopping\n"
    } else {
        match readiness.verdict().await {
            Verdict::Ready => return (StatusCode::OK, "ready\n"),
            Verdict::NotMigrated => "the database is not migrated: run `pigeonhole migrate`\n",
            Verdict::ReadOnly => "the database is read-only\n",
            Verdict::Refused => "commits fail: the log says why\n",
            Verdict::NoResponse => "the database does not respond\n",
            Verdict::Unreadable => "the database cannot be read\n",
        }
    };
    (StatusCode::SERVICE_UNAVAILABLE, why)
}
