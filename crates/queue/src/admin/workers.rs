//! Who is at work.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::{error::AdminError, limits::STALE_SECONDS};

/// The processes that run jobs.
#[derive(Debug, Clone, Serialize)]
pub struct WorkerList {
    /// When this was so, by the database's clock.
    pub at: DateTime<Utc>,
    /// Each one, the one that was started first in front; at most a thousand.
    pub workers: Vec<WorkerProcess>,
}

/// A process that runs jobs.
#[derive(Debug, Clone, Serialize)]
pub struct WorkerProcess {
    /// Its name.
    pub name: String,
    /// When it was started.
    pub started_at: DateTime<Utc>,
    /// Its last sign of life.
    pub seen_at: DateTime<Utc>,
    /// It should have given another by now: it was killed, hangs, or cannot reach the database.
    pub stale: bool,
    /// What it runs.
    pub kinds: Vec<String>,
    /// How many jobs it runs at a time, at most.
    pub slots: i32,
    /// How many it held at its last sign of life.
    pub held: i32,
}

/// Asks for all workers.
pub async fn workers(conn: &mut PgConnection) -> Result<WorkerList, AdminError> {
    let at = sqlx::query_scalar!(r#"select now() as "now!""#)
        .fetch_one(&mut *conn)
        .await?;
    let workers = sqlx::query_as!(
        WorkerProcess,
        r#"select name, started_at, seen_at, kinds, slots, held,
               seen_at < now() - make_interval(secs => $1) as "stale!"
           from queue.workers order by started_at, name limit 1000"#,
        STALE_SECONDS,
    )
    .fetch_all(conn)
    .await?;
    Ok(WorkerList { at, workers })
}
