//! Finds a pooler in transaction mode between us and Postgres.

use sqlx::{Connection, PgConnection, Row, postgres::PgConnectOptions, raw_sql};

use crate::error::StoreError;

/// Finds out whether a session shares its server process with others, as it does behind a pooler in
/// transaction mode.
///
/// Several open sessions ask repeatedly which process serves them. If one process serves two of
/// them, or the process of a session changes, that is proof: without a pooler, and with a pooler in
/// session mode, neither happens. A pooler in transaction mode shows itself soon:
///
/// - If it hands out the process that was returned last, a session gets the one that another has
///   just used.
/// - If it hands out processes in turn, a session that asks twice gets two. If there is only one,
///   the other session gets it, too.
/// - Sessions that keep a transaction open hold processes, so that the others share fewer.
///
/// That is the case on an idle pooler. On a busy one, other clients take the processes in between.
///
/// All statements use the simple protocol: such a pooler would mix up prepared statements.
#[derive(Debug)]
pub struct Pooling {
    options: PgConnectOptions,
    first: PooledSession,
    others: Vec<PooledSession>,
}

impl Pooling {
    /// Opens the first session.
    pub async fn begin(options: &PgConnectOptions) -> Result<Self, StoreError> {
        Ok(Self {
            options: options.clone(),
            first: PooledSession::open(options).await?,
            others: Vec::new(),
        })
    }

    /// Opens one more session, and compares. True is proof; false is reliable after a few rounds.
    pub async fn is_shared(&mut self) -> Result<bool, StoreError> {
        let first = &mut self.first;
        if first.changes().await? || first.changes().await? {
            return Ok(true);
        }
        let mut other = PooledSession::open(&self.options).await?;
        for _ in 0..2 {
            if other.changes().await? || other.process == first.process {
                return Ok(true);
            }
        }
        if first.changes().await? || first.changes().await? {
            return Ok(true);
        }
        raw_sql("begin").execute(&mut other.conn).await?;
        let shared = other.changes().await? || other.process == first.process;
        self.others.push(other);
        Ok(shared)
    }

    /// Closes the sessions that are still open.
    pub async fn end(self) {
        for mut other in self.others {
            if raw_sql("rollback").execute(&mut other.conn).await.is_ok() {
                other.conn.close().await.ok();
            }
        }
        self.first.conn.close().await.ok();
    }
}

#[derive(Debug)]
struct PooledSession {
    conn: PgConnection,
    /// The process that served it last.
    process: Option<i32>,
}

impl PooledSession {
    /// Opens a session like all of ours. Some poolers do not share a session that has changed a
    /// setting.
    async fn open(options: &PgConnectOptions) -> Result<Self, StoreError> {
        let mut conn = PgConnection::connect_with(options).await?;
        raw_sql("set idle_in_transaction_session_timeout = '5s'")
            .execute(&mut conn)
            .await?;
        Ok(Self {
            conn,
            process: None,
        })
    }

    /// Returns whether another process serves it than the last time.
    async fn changes(&mut self) -> Result<bool, StoreError> {
        let row = raw_sql("select pg_backend_pid()")
            .fetch_one(&mut self.conn)
            .await?;
        let process = row.try_get(0)?;
        let before = self.process.replace(process);
        Ok(before.is_some_and(|before| before != process))
    }
}
