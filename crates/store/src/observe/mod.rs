//! Figures of the whole database for operators. One process reads them for all: the [`Observer`].
//!
//! Each statement reads a bounded number of rows, by an index, and has two seconds.

mod counts;
mod postgres;

use std::time::Duration;

use queue::Pool;
use sqlx::{Executor, PgConnection};

use crate::advisory_lock::AdvisoryLock;
use crate::error::StoreError;
pub use counts::{SendCounts, messages, sends};
pub use postgres::{PostgresFigures, TableFigures, postgres};

/// The key of the advisory lock that the observer's session holds.
const LOCK: i64 = AdvisoryLock::Observer as i64;

/// Postgres cancels a statement that takes longer. A session that is idle for this long belongs to
/// a frozen process or a vanished machine: Postgres ends it, and another process becomes the
/// observer.
const SESSION: &str =
    "set statement_timeout = '2s'; set idle_session_timeout = '30s'; set jit = off";

/// How long the connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The right to observe, as long as its connection lasts. One process at a time has it.
#[derive(Debug)]
pub struct Observer(PgConnection);

impl Observer {
    /// Becomes the observer, unless another process is the observer.
    pub async fn try_become(pool: &Pool) -> Result<Option<Self>, StoreError> {
        // The lock ends with this statement. A process learns without another connection that there
        // is an observer.
        let free = sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock($1) as "free!""#, LOCK)
            .fetch_one(&mut *pool.acquire().await?)
            .await?;
        if !free {
            return Ok(None);
        }
        let mut conn = pool.servers().connect(CONNECT_TIMEOUT).await?;
        conn.execute(SESSION).await?;
        let taken = sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "taken!""#, LOCK)
            .fetch_one(&mut conn)
            .await?;
        Ok(taken.then_some(Self(conn)))
    }

    /// The connection to read with.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}
