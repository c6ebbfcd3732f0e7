//! What an operator wants to see of the database as a whole, for one process to look at for all: [`Observer`].
//!
//! Each look is a statement that reads a bounded number of rows, by index, and has a second or two for it.

mod counts;
mod postgres;

use std::time::Duration;

use sqlx::{Connection, Executor, PgConnection, PgPool};
use tokio::time::timeout;

use crate::advisory_lock::AdvisoryLock;
use crate::error::StoreError;
pub use counts::{Sends, messages, sends};
pub use postgres::{Postgres, Table, postgres};

/// The key of the advisory lock that the observer's session holds.
const LOCK: i64 = AdvisoryLock::Observer as i64;

/// A look that takes longer is broken off. A session that says nothing for so long belongs to a process that is frozen,
/// or to a machine that has vanished: Postgres ends it, and another process observes.
const SESSION: &str =
    "set statement_timeout = '2s'; set idle_session_timeout = '30s'; set jit = off";

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The right to observe, for as long as its connection lasts. One process at a time has it.
#[derive(Debug)]
pub struct Observer(PgConnection);

impl Observer {
    /// Becomes the observer, unless another process is.
    pub async fn try_become(pool: &PgPool) -> Result<Option<Self>, StoreError> {
        // A lock of this statement's own, gone with it: nobody needs a connection to learn that there is an observer.
        let free = sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock($1) as "free!""#, LOCK)
            .fetch_one(pool)
            .await?;
        if !free {
            return Ok(None);
        }
        let options = pool.connect_options();
        let mut conn = timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options))
            .await
            .map_err(|_| StoreError::TimedOut)??;
        conn.execute(SESSION).await?;
        let taken = sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "taken!""#, LOCK)
            .fetch_one(&mut conn)
            .await?;
        Ok(taken.then_some(Self(conn)))
    }

    /// To look with.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}
