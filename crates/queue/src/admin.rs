//! What operators read from the queue and do to its jobs.
//!
//! Every call is bounded: it is fast and does no harm however many jobs there are. It reads a few
//! thousand rows from the front of an index, and says so where that is not all. No function reads a
//! whole table.
//!
//! Call each function in a transaction of [`begin`]. Call [`wake`] after the commit if jobs may
//! have become ready.

mod counts;
mod error;
mod filter;
mod find;
mod kinds;
mod limits;
mod list;
mod live;
mod requeue;
mod show;
mod state;
mod stats;
mod workers;

use sqlx::{Connection, PgConnection, PgTransaction};

use crate::wake::CHANNEL;

pub use counts::{CountPrecision, JobCount};
pub use error::AdminError;
pub use filter::JobFilter;
pub use kinds::{PauseResult, pause, resume};
pub use limits::STATEMENT_TIMEOUT;
pub use list::{JobPage, ListedJob, list};
pub use live::{ChangedJob, JobChange, discard, retry};
pub use requeue::{DeadLetterCursor, DeadLetterFilter, RequeueResult, requeue, requeue_all};
pub use show::{AttemptError, JobDetails, show};
pub use state::JobState;
pub use stats::{KindStats, QueueStats, stats};
pub use workers::{WorkerList, WorkerProcess, workers};

/// Begins a transaction for calls of this module. Its statements have a time limit. They use the
/// indexes even where the planner's statistics are out of date, as they are after many jobs were
/// enqueued at once.
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

/// Wakes the workers of all processes, because jobs may have become ready. Without it they find the
/// jobs a little later.
pub async fn wake(conn: &mut PgConnection) -> Result<(), AdminError> {
    sqlx::query!("select pg_notify($1, '')", CHANNEL)
        .execute(conn)
        .await?;
    Ok(())
}
