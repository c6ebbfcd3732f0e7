//! Lists the processes that run jobs.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::{error::AdminError, limits::STALE_SECONDS};

/// The processes that run jobs.
#[derive(Debug, Clone, Serialize)]
pub struct WorkerList {
    /// When this was read, by the database's clock.
    pub at: DateTime<Utc>,
    /// At most a thousand processes, in the order of their start.
    pub workers: Vec<WorkerProcess>,
}

/// A process that runs jobs.
#[derive(Debug, Clone, Serialize)]
pub struct WorkerProcess {
    /// Its name.
    pub name: String,
    /// When it was started.
    pub started_at: DateTime<Utc>,
    /// Its last entry in the worker registry.
    pub seen_at: DateTime<Utc>,
    /// True if the next entry is overdue: the process was killed, is stuck, or cannot reach the
    /// database.
    pub stale: bool,
    /// The kinds that it runs.
    pub kinds: Vec<String>,
    /// The most jobs that it runs at once.
    pub concurrency: i32,
    /// How many jobs it held at its last entry.
    pub held: i32,
}

/// Reads all workers.
pub async fn workers(conn: &mut PgConnection) -> Result<WorkerList, AdminError> {
    let at = sqlx::query_scalar!(r#"select now() as "now!""#)
        .fetch_one(&mut *conn)
        .await?;
    let workers = sqlx::query_as!(
        WorkerProcess,
        r#"select name, started_at, seen_at, kinds, concurrency, held,
               seen_at < now() - make_interval(secs => $1) as "stale!"
           from queue.workers order by started_at, name limit 1000"#,
        STALE_SECONDS,
    )
    .fetch_all(conn)
    .await?;
    Ok(WorkerList { at, workers })
}
