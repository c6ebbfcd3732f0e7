//! What operators ask of the queue, and do to it.
//!
//! Everything here is bounded, so that it is quick and does no harm however many jobs there are: it reads a few
//! thousand rows from the front of an index, and where that does not reach it says so. No function reads a whole table.
//!
//! Each is meant for a transaction of [`begin`]. Call [`wake`] after the commit if jobs may have become ready.

mod counts;
mod find;
mod kinds;
mod list;
mod live;
mod requeue;
mod show;
mod stats;
mod workers;

use std::time::Duration;

use serde::Serialize;
use sqlx::{Connection, PgConnection, PgTransaction};

use crate::wake::CHANNEL;

pub use counts::{CountPrecision, JobCount};
pub use kinds::{PauseResult, pause, resume};
pub use list::{JobFilter, JobPage, ListedJob, list};
pub use live::{ChangedJob, JobChange, discard, retry};
pub use requeue::{DeadLetterCursor, DeadLetterFilter, RequeueResult, requeue, requeue_all};
pub use show::{AttemptError, JobDetails, show};
pub use stats::{KindStats, QueueStats, stats};
pub use workers::{WorkerList, WorkerProcess, workers};

/// The longest that a statement may take.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// The most rows of an index that are looked at for one answer.
const LOOK: i64 = 10_000;

/// The time of the last sign of life after which a worker counts as gone, in seconds: three signs have failed to come.
const STALE_SECONDS: f64 = 35.0;

/// Why the queue could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// A statement was cancelled because it took too long.
    #[error(
        "the database took longer than {} s, so nothing was done: it may be overloaded, or a transaction left open \
         holds the rows; try again, or with a smaller --limit",
        STATEMENT_TIMEOUT.as_secs()
    )]
    TooSlow,
    /// The tables are not there.
    #[error("this database has no queue: check DATABASE_URL, or run `pigeonhole migrate`")]
    NoQueue,
    /// The database's user may not do this.
    #[error("the database's user lacks the rights for this: use one that owns the schema `queue`")]
    Forbidden,
    /// Anything else that the database says.
    #[error("the queue could not be asked")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for AdminError {
    fn from(error: sqlx::Error) -> Self {
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        match code.as_deref() {
            Some("57014" | "55P03") => Self::TooSlow, // cancelled by a timeout, of the statement or a lock
            Some("42P01" | "3F000" | "42703") => Self::NoQueue, // no such table, schema, column
            Some("42501") => Self::Forbidden,
            _ => Self::Database(error),
        }
    }
}

/// What a job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Ready: a worker may claim it now.
    Available,
    /// A worker holds it.
    Running,
    /// It waits for its time: delayed, failed or snoozed.
    Scheduled,
    /// A dead letter.
    Dead,
}

impl JobState {
    fn of_live(ready: bool, held: bool) -> Self {
        match (ready, held) {
            (true, _) => Self::Available,
            (false, true) => Self::Running,
            (false, false) => Self::Scheduled,
        }
    }

    /// As stored in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Running => "running",
            Self::Scheduled => "scheduled",
            Self::Dead => "dead",
        }
    }
}

/// Begins a transaction that cannot take long: its statements have a timeout, and they go by the indexes even where the
/// planner's statistics are out of date, as they are after every flood of jobs.
pub async fn begin(conn: &mut PgConnection) -> Result<PgTransaction<'_>, AdminError> {
    let mut tx = conn.begin().await?;
    sqlx::query!(
        "select set_config(name, value, true)
         from (values ('statement_timeout', $1), ('plan_cache_mode', 'force_custom_plan'), ('jit', 'off'),
                      ('enable_seqscan', 'off'), ('enable_bitmapscan', 'off')) as setting(name, value)",
        STATEMENT_TIMEOUT.as_millis().to_string(),
    )
    .fetch_all(&mut *tx)
    .await?;
    Ok(tx)
}

/// Tells the workers of all processes that jobs may have become ready. They would find them anyway, a little later.
pub async fn wake(conn: &mut PgConnection) -> Result<(), AdminError> {
    sqlx::query!("select pg_notify($1, '')", CHANNEL)
        .execute(conn)
        .await?;
    Ok(())
}

/// The text to look for, in lower case, if there is one.
fn needle(error: Option<&str>) -> Option<String> {
    error.map(str::to_lowercase)
}
