//! Whether something between us and Postgres gives our sessions' server processes to others between two transactions.

use sqlx::{Connection, PgConnection, Row, postgres::PgConnectOptions, raw_sql};

use crate::error::StoreError;
use crate::session::prepare_session;

/// Finds out whether a session does not keep its server process for itself. So it is with a pooler in transaction mode.
///
/// Sessions that are open at the same time say again and again which process serves them. One process that serves two of
/// them, or a session that has another than before, is proof: without a pooler, and with one in session mode, neither can
/// be. It takes little for a pooler in transaction mode to give itself away:
///
/// - If it hands out first what came back last, a session gets the process that another one has just used.
/// - If it hands out each in turn, a session that asks twice in a row gets two; unless there is only one, which the other
///   session gets, too.
/// - Sessions that keep a transaction open take processes out of the game, so that none can be missed by the count of them.
///
/// And that is on a quiet pooler. On a busy one others come between, and whatever they take, no session gets again.
///
/// All in the simple protocol: statements that were prepared would be mixed up by the very thing that is looked for.
#[derive(Debug)]
pub struct Pooling {
    options: PgConnectOptions,
    first: Session,
    others: Vec<Session>,
}

impl Pooling {
    /// Opens the first session.
    pub async fn begin(options: &PgConnectOptions) -> Result<Self, StoreError> {
        Ok(Self {
            options: options.clone(),
            first: Session::open(options).await?,
            others: Vec::new(),
        })
    }

    /// Opens one more session, and compares. True is proof; false is as good as one after a few rounds.
    pub async fn is_shared(&mut self) -> Result<bool, StoreError> {
        let first = &mut self.first;
        if first.changes().await? || first.changes().await? {
            return Ok(true);
        }
        let mut other = Session::open(&self.options).await?;
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

    /// Closes the sessions, as far as they are still open.
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
struct Session {
    conn: PgConnection,
    /// What served it when it was last asked.
    process: Option<i32>,
}

impl Session {
    /// One as all of ours are. There are poolers that leave one alone that has set something.
    async fn open(options: &PgConnectOptions) -> Result<Self, StoreError> {
        let mut conn = PgConnection::connect_with(options).await?;
        prepare_session(&mut conn).await?;
        Ok(Self {
            conn,
            process: None,
        })
    }

    /// Asks which process serves it. Is it another than the last time?
    async fn changes(&mut self) -> Result<bool, StoreError> {
        let row = raw_sql("select pg_backend_pid()")
            .fetch_one(&mut self.conn)
            .await?;
        let process = row.try_get(0)?;
        let before = self.process.replace(process);
        Ok(before.is_some_and(|before| before != process))
    }
}
