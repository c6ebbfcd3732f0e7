//! The settings of every connection.

use sqlx::{AssertSqlSafe, Executor, PgConnection};
use tokio::time::timeout;

use super::check::{CHECK_LIMIT, check};

/// What every session begins with. These are no startup parameters: poolers refuse startup
/// parameters that they do not know.
///
/// Our transactions never pause. One that does belongs to a frozen process, or to a machine that
/// vanished without closing its connections, while others wait for its rows. So Postgres ends such
/// a session and releases its locks.
///
/// A connection that we gave up may have a statement that waits for a lock, or an end that went
/// silent. Postgres notices the first within a second and the second within a minute, and ends the
/// session. Without that, it would wait for hours, and count towards `max_connections`. Not every
/// system can do the first: then the setting stays as it is.
const SESSION: &str = "
    set idle_in_transaction_session_timeout = '5s';
    set tcp_keepalives_idle = 30; set tcp_keepalives_interval = 10; set tcp_keepalives_count = 3;
    do $$ begin
        perform set_config('client_connection_check_interval', '1s', false);
    exception when others then null;
    end $$";

/// Prepares a new connection, and refuses it if its server cannot be written to.
pub(crate) async fn prepare(
    conn: &mut PgConnection,
    session: &'static [&'static str],
) -> Result<(), sqlx::Error> {
    check(conn).await?;
    let text = [&[SESSION], session].concat().join("; ");
    let prepared = timeout(CHECK_LIMIT, conn.execute(AssertSqlSafe(text)));
    match prepared.await {
        Ok(prepared) => prepared.map(drop),
        Err(_) => Err(sqlx::Error::PoolTimedOut),
    }
}
