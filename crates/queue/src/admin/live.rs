//! Runs live jobs at once, or discards them, for an operator.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use sqlx::PgConnection;

use super::error::AdminError;
use crate::attempt::JobId;

/// The result for one job that an operator named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangedJob {
    /// Its number.
    pub id: JobId,
    /// The result.
    pub result: JobChange,
    /// The worker that runs it.
    pub worker: Option<String>,
}

/// The result of a retry or a discard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobChange {
    /// It was retried or discarded.
    Done,
    /// Unchanged: it is available already.
    AlreadyAvailable,
    /// Unchanged: a worker runs it.
    Running,
    /// Unchanged: it is a dead letter.
    Dead,
    /// No job has this number: it has completed, or never existed.
    NotFound,
}

/// Makes scheduled jobs ready now. Their attempts so far count. A job whose lease has run out
/// counts as scheduled. Returns a result for each job, in the order of `ids`, without duplicates.
pub async fn retry(conn: &mut PgConnection, ids: &[JobId]) -> Result<Vec<ChangedJob>, AdminError> {
    let found = lock(conn, ids).await?;
    let change = |job: &LockedJob| match job {
        LockedJob { ready: true, .. } => JobChange::AlreadyAvailable,
        LockedJob { running: true, .. } => JobChange::Running,
        LockedJob { .. } => JobChange::Done,
    };
    let chosen = chosen(&found, change);
    sqlx::query!(
        "update queue.jobs set ready = true, locked_by = null, run_at = now(),
             position = now() + priority * interval '10 minutes'
         where id = any($1)",
        &chosen,
    )
    .execute(&mut *conn)
    .await?;
    report(conn, ids, found, change).await
}

/// Makes jobs dead letters. A running job only by `force`: its row is deleted, so its worker has
/// lost the lease and can write nothing more. Returns a result for each job, in the order of `ids`,
/// without duplicates.
pub async fn discard(
    conn: &mut PgConnection,
    ids: &[JobId],
    force: bool,
) -> Result<Vec<ChangedJob>, AdminError> {
    let found = lock(conn, ids).await?;
    let change = |job: &LockedJob| match job {
        LockedJob { running: true, .. } if !force => JobChange::Running,
        LockedJob { .. } => JobChange::Done,
    };
    let chosen = chosen(&found, change);
    sqlx::query!(
        "with gone as (delete from queue.jobs where id = any($1) returning *)
         insert into queue.dead_jobs
             (id, kind, reason, created_at, claim, attempts, max_attempts, priority, lane, unique_key,
              args, trace, last_error, errors)
         select id, kind, 'by_operator', created_at, claim, attempts, max_attempts, priority, lane, unique_key,
                args, trace, errors->-1->>'error', errors
         from gone",
        &chosen,
    )
    .execute(&mut *conn)
    .await?;
    report(conn, ids, found, change).await
}

struct LockedJob {
    ready: bool,
    running: bool,
    worker: Option<String>,
}

/// Locks the jobs, so that no worker claims them before the transaction ends. Always in the same
/// order, so that two operators never wait for each other.
async fn lock(
    conn: &mut PgConnection,
    ids: &[JobId],
) -> Result<HashMap<JobId, LockedJob>, AdminError> {
    let rows = sqlx::query!(
        r#"select id, ready, locked_by, not ready and locked_by is not null and run_at > now() as "running!"
           from queue.jobs where id = any($1) order by id for update"#,
        ids,
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| {
            let (ready, running) = (row.ready, row.running);
            (
                row.id,
                LockedJob {
                    ready,
                    running,
                    worker: row.locked_by,
                },
            )
        })
        .collect())
}

fn chosen(
    found: &HashMap<JobId, LockedJob>,
    change: impl Fn(&LockedJob) -> JobChange,
) -> Vec<JobId> {
    let chosen = found
        .iter()
        .filter(|(_, job)| change(job) == JobChange::Done);
    chosen.map(|(id, _)| *id).collect()
}

async fn report(
    conn: &mut PgConnection,
    ids: &[JobId],
    mut found: HashMap<JobId, LockedJob>,
    change: impl Fn(&LockedJob) -> JobChange,
) -> Result<Vec<ChangedJob>, AdminError> {
    let dead = sqlx::query_scalar!("select id from queue.dead_jobs where id = any($1)", ids)
        .fetch_all(conn)
        .await?;
    let mut named = HashSet::new();
    let once = ids.iter().copied().filter(|id| named.insert(*id));
    Ok(once
        .map(|id| match found.remove(&id) {
            Some(job) => ChangedJob {
                id,
                result: change(&job),
                worker: job.worker,
            },
            None if dead.contains(&id) => ChangedJob {
                id,
                result: JobChange::Dead,
                worker: None,
            },
            None => ChangedJob {
                id,
                result: JobChange::NotFound,
                worker: None,
            },
        })
        .collect())
}
