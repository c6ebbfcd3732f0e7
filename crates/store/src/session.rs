//! What every connection is told when it is made.

use sqlx::{Executor, PgConnection};

/// Bounds how long a transaction may pause between two statements: then Postgres ends the session and lets its locks go.
///
/// Ours never pause. One that does belongs to a process that is frozen, or to a machine that has vanished without
/// closing its connections, and others wait for its rows: without a bound until TCP notices, which takes hours.
pub async fn prepare_session(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    // Not a startup parameter: poolers refuse those that they do not know.
    conn.execute("set idle_in_transaction_session_timeout = '5s'")
        .await?;
    Ok(())
}
