//! A connection of the pool, and how it comes back.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{PgConnection, Postgres, pool::PoolConnection};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout},
};

use super::{
    check::{CHECK_LIMIT, check, ping},
    trust::ServerTrust,
};

/// A connection of a [`Pool`](super::Pool). When it is dropped, the pool checks within a time limit
/// that it responds and that its server can be written to. If not, it is closed.
#[derive(Debug)]
pub struct PooledConnection {
    /// `None` only while it is dropped.
    conn: Option<PoolConnection<Postgres>>,
    trust: Arc<ServerTrust>,
    /// True if the last statement succeeded.
    succeeded: bool,
    /// The place of this connection in what its job holds.
    held: Option<HeldConnections>,
}

impl PooledConnection {
    pub(super) fn new(conn: PoolConnection<Postgres>, trust: Arc<ServerTrust>) -> Self {
        let held = HELD.try_with(HeldConnections::clone).ok();
        if let Some(held) = &held {
            held.add();
        }
        Self {
            conn: Some(conn),
            trust,
            succeeded: false,
            held,
        }
    }

    /// Fails unless a connection that was kept for a while still responds. Then it must be dropped.
    pub async fn ping(&mut self) -> Result<(), sqlx::Error> {
        let responded = ping(self).await;
        if let Err(error) = &responded {
            self.trust.idle_failed(error);
        }
        responded
    }

    /// Gives the connection back without a check, as its last statement has succeeded and no
    /// transaction is open. That saves a round trip.
    pub fn put_back(mut self) {
        self.succeeded();
    }

    pub(super) fn succeeded(&mut self) {
        self.succeeded = true;
    }
}

const IN_USE: &str = "the connection is taken only when it is dropped";

impl Deref for PooledConnection {
    type Target = PgConnection;

    #[expect(clippy::expect_used, reason = "a dropped value is not used")]
    fn deref(&self) -> &PgConnection {
        self.conn.as_ref().expect(IN_USE)
    }
}

impl DerefMut for PooledConnection {
    #[expect(clippy::expect_used, reason = "a dropped value is not used")]
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.conn.as_mut().expect(IN_USE)
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        if let Some(held) = &self.held {
            held.remove();
        }
        if let Some(conn) = self.conn.take() {
            let released = release(conn, self.trust.clone(), self.succeeded);
            // Without a runtime, the process ends.
            if let Ok(runtime) = Handle::try_current() {
                runtime.spawn(released);
            }
        }
    }
}

/// Gives a connection back to the pool, or closes it. It is closed by dropping it, which waits for
/// nothing.
async fn release(mut conn: PoolConnection<Postgres>, trust: Arc<ServerTrust>, succeeded: bool) {
    if !succeeded && let Err(error) = check(&mut conn).await {
        tracing::info!(%error, "a connection to the database is closed");
        trust.doubt();
        drop(conn.detach());
        return;
    }
    // This waits for a response of the server, so it needs a limit, too.
    if timeout(CHECK_LIMIT, conn.return_to_pool()).await.is_err() {
        trust.doubt();
    }
}

/// How long a job may hold a connection. No job holds one while it does anything else, so the
/// connection's other end has gone silent, or the statement waits for a lock.
const LONGEST_HOLD: Duration = Duration::from_secs(10);

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// The connections that the job of this task holds.
    static HELD: HeldConnections;
}

/// The connections that one job holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeldConnections(Arc<Mutex<(usize, Option<Instant>)>>);

impl HeldConnections {
    /// Counts the connections that `job` takes from any pool.
    pub(crate) async fn count<T>(self, job: impl Future<Output = T>) -> T {
        HELD.scope(self, job).await
    }

    fn add(&self) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.0 += 1;
        held.1.get_or_insert_with(Instant::now);
    }

    fn remove(&self) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.0 = held.0.saturating_sub(1);
        if held.0 == 0 {
            held.1 = None;
        }
    }

    fn since(&self) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

/// Returns when the job has held a connection for too long.
pub(crate) async fn stalled(held: HeldConnections) {
    loop {
        sleep(LOOK).await;
        if held
            .since()
            .is_some_and(|since| since.elapsed() > LONGEST_HOLD)
        {
            return;
        }
    }
}
