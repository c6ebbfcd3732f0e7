//! What is asked of a connection before it is used.

use std::{io, time::Duration};

use sqlx::{Connection, Executor, PgConnection, Row};
use tokio::time::timeout;

/// How long a check of a connection may take, and how long the pool waits for a connection that
/// comes back. A server that needs longer is of no use to a webhook.
pub(super) const CHECK_LIMIT: Duration = Duration::from_secs(1);

/// How long a connection that nobody uses may take to respond. It has nothing else to do, and a
/// webhook waits for it.
const PING_LIMIT: Duration = Duration::from_millis(500);

/// The server responds, but refuses writes.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the server accepts no writes: it is a standby, or default_transaction_read_only is on")]
pub struct ReadOnlyServer;

impl ReadOnlyServer {
    /// True if this error says so.
    pub fn is_cause_of(error: &sqlx::Error) -> bool {
        let sqlx::Error::Io(error) = error else {
            return false;
        };
        let inner = error.get_ref();
        inner.is_some_and(|inner| inner.downcast_ref::<Self>().is_some())
    }
}

/// The connection has a transaction that nobody ends: what is written next would never commit.
/// sqlx leaves one when the future that begins it is dropped.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("a transaction was left open")]
struct TransactionLeftOpen;

/// Whether the server can be written to, and whether a transaction is open: only the first
/// statement of a transaction begins when the transaction begins.
const CHECK: &str = "
    select pg_is_in_recovery() or current_setting('transaction_read_only')::boolean,
        now() <> statement_timestamp()";

/// Fails unless the connection responds in time, its server can be written to, and no transaction
/// is open. sqlx's hooks return nothing but its own errors, so the reason is inside of one that
/// says "unavailable".
pub async fn check(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let row = timeout(CHECK_LIMIT, conn.fetch_one(CHECK))
        .await
        .map_err(|_| no_response())??;
    if row.try_get(0)? {
        Err(sqlx::Error::Io(io::Error::other(ReadOnlyServer)))
    } else if row.try_get(1)? {
        Err(sqlx::Error::Io(io::Error::other(TransactionLeftOpen)))
    } else {
        Ok(())
    }
}

/// Fails unless the connection responds in time.
pub(super) async fn ping(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    timeout(PING_LIMIT, conn.ping())
        .await
        .map_err(|_| no_response())?
}

/// True if nothing came back in time.
pub(super) fn is_silence(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut)
}

pub(super) fn no_response() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(
        io::ErrorKind::TimedOut,
        "the server does not respond",
    ))
}
