//! Whether something between us and Postgres gives our sessions' server processes to others between two transactions.

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions, raw_sql};

use crate::{StoreError, prepare_session};

/// How many times it is tried to take a session's server process away.
const ROUNDS: usize = 4;

/// Does a session not keep its server process for itself? So it is with a pooler in transaction mode.
///
/// A session says which process serves it, and stays. Another one then opens a transaction and keeps it open. If the
/// same process serves both, it was taken from the first: without a pooler, and with one in session mode, that cannot be.
/// If it is another process, the first session says again which one serves it: one that has changed is as good a proof.
///
/// A pooler hands out first what came back last, or each in turn. In the first case the transaction gets the process that
/// the first session has just used; in the second, the first session itself gets another one the next time, unless
/// there is only one, which the transaction gets then. So one round would do on a quiet pooler. On a busy one others come
/// between, and whatever they take, the first session does not get again.
///
/// All in the simple protocol: statements that were prepared would be mixed up by the very thing that is looked for.
pub async fn shares_sessions(options: &PgConnectOptions) -> Result<bool, StoreError> {
    let mut first = session(options).await?;
    let mut others = Vec::with_capacity(ROUNDS);
    let mut shared = false;
    for _ in 0..ROUNDS {
        let process = server_process(&mut first).await?;
        let mut other = session(options).await?;
        raw_sql("begin").execute(&mut other).await?;
        shared = server_process(&mut other).await? == process;
        others.push(other);
        // Not asked if it is known: with a pool of one process, it would wait for the other.
        shared = shared || server_process(&mut first).await? != process;
        if shared {
            break;
        }
    }
    for mut other in others {
        raw_sql("rollback").execute(&mut other).await?;
        other.close().await?;
    }
    first.close().await?;
    Ok(shared)
}

/// A session as all of ours are. There are poolers that leave one alone that has set something.
async fn session(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let mut conn = PgConnection::connect_with(options).await?;
    prepare_session(&mut conn).await?;
    Ok(conn)
}

async fn server_process(conn: &mut PgConnection) -> Result<i32, StoreError> {
    use sqlx::Row;
    let row = raw_sql("select pg_backend_pid()").fetch_one(conn).await?;
    Ok(row.try_get(0)?)
}
