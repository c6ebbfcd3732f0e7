//! Lists jobs in pages, in the order of their numbers.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::{
    error::AdminError,
    filter::{JobFilter, needle},
    find::find,
    state::JobState,
};
use crate::attempt::JobId;

/// A page of jobs.
#[derive(Debug, Clone, Serialize)]
pub struct JobPage {
    /// When this was read, by the database's clock.
    pub at: DateTime<Utc>,
    /// The jobs, in order of their numbers.
    pub jobs: Vec<ListedJob>,
    /// The next page starts after this number. A page may be short, even empty, and still not be
    /// the last.
    pub next: Option<JobId>,
    /// True if there are too many timers, and only the running jobs among the first were read.
    pub partial: bool,
}

/// A job in a list.
#[derive(Debug, Clone, Serialize)]
pub struct ListedJob {
    /// Its number.
    pub id: JobId,
    /// Its kind.
    pub kind: String,
    /// Its state.
    pub state: JobState,
    /// Attempts so far, including the one that runs.
    pub attempts: i16,
    /// The most attempts it may have.
    pub max_attempts: i16,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When it becomes due or became ready. `None` for a running job or a dead letter.
    pub due_at: Option<DateTime<Utc>>,
    /// The end of its lease, unless the worker renews it.
    pub lease_until: Option<DateTime<Utc>>,
    /// When it became a dead letter.
    pub died_at: Option<DateTime<Utc>>,
    /// The worker that runs it.
    pub worker: Option<String>,
    /// Why it became a dead letter.
    pub reason: Option<String>,
    /// The error of its last failed attempt.
    pub last_error: Option<String>,
}

/// Reads one page.
pub async fn list(conn: &mut PgConnection, filter: &JobFilter) -> Result<JobPage, AdminError> {
    let limit = usize::from(filter.limit);
    let mut found = find(conn, filter).await?;
    if filter.error.is_none() && found.ids.len() > limit {
        found.ids.truncate(limit);
        found.next = found.ids.last().copied();
    }
    let mut jobs = match filter.state {
        Some(JobState::Dead) => dead(conn, filter, &found.ids).await?,
        Some(JobState::Available | JobState::Running | JobState::Scheduled) | None => {
            live(conn, filter, &found.ids).await?
        }
    };
    if filter.error.is_some() && jobs.len() == limit {
        found.next = jobs.last().map(|job| job.id);
    }
    jobs.retain(|job| filter.state.is_none_or(|state| job.state == state)); // its state may have changed meanwhile
    let at = sqlx::query_scalar!(r#"select now() as "now!""#)
        .fetch_one(conn)
        .await?;
    Ok(JobPage {
        at,
        jobs,
        next: found.next,
        partial: found.partial,
    })
}

async fn live(
    conn: &mut PgConnection,
    filter: &JobFilter,
    ids: &[JobId],
) -> Result<Vec<ListedJob>, AdminError> {
    let rows = sqlx::query!(
        "select id, kind, ready, locked_by, attempts, max_attempts, created_at, run_at,
             errors->-1->>'error' as last_error
         from queue.jobs
         where id = any($1) and ($2::text is null or strpos(lower(errors->-1->>'error'), $2) > 0)
         order by id limit $3",
        ids,
        needle(filter.error.as_deref()),
        i64::from(filter.limit),
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| {
            let state = JobState::of_live(row.ready, row.locked_by.is_some());
            let running = state == JobState::Running;
            ListedJob {
                id: row.id,
                kind: row.kind,
                state,
                attempts: row.attempts,
                max_attempts: row.max_attempts,
                created_at: row.created_at,
                due_at: (!running).then_some(row.run_at),
                lease_until: running.then_some(row.run_at),
                died_at: None,
                worker: row.locked_by,
                reason: None,
                last_error: row.last_error,
            }
        })
        .collect())
}

async fn dead(
    conn: &mut PgConnection,
    filter: &JobFilter,
    ids: &[JobId],
) -> Result<Vec<ListedJob>, AdminError> {
    let rows = sqlx::query!(
        "select id, kind, died_at, reason, attempts, max_attempts, created_at, last_error
         from queue.dead_jobs
         where id = any($1) and ($2::text is null or strpos(lower(last_error), $2) > 0)
         order by id limit $3",
        ids,
        needle(filter.error.as_deref()),
        i64::from(filter.limit),
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| ListedJob {
            id: row.id,
            kind: row.kind,
            state: JobState::Dead,
            attempts: row.attempts,
            max_attempts: row.max_attempts,
            created_at: row.created_at,
            due_at: None,
            lease_until: None,
            died_at: Some(row.died_at),
            worker: None,
            reason: Some(row.reason),
            last_error: row.last_error,
        })
        .collect())
}
