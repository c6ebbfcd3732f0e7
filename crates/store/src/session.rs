//! The settings of every connection.

use sqlx::{Executor, PgConnection};

/// Limits the time between two statements of a transaction: after it Postgres ends the session and
/// releases its locks.
///
/// Our transactions never pause. One that does belongs to a frozen process, or to a machine that
/// vanished without closing its connections, while others wait for its rows. Without this limit
/// they wait until TCP notices, which takes hours.
pub async fn prepare_session(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    // Not a startup parameter: poolers refuse startup parameters that they do not know.
    conn.execute("set idle_in_transaction_session_timeout = '5s'")
        .await?;
    Ok(())
}
