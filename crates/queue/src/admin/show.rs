//! Everything that the queue knows about one job.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::{PgConnection, types::Json};

use super::{error::AdminError, state::JobState};
use crate::attempt::JobId;

/// One job, live or dead.
#[derive(Debug, Serialize)]
pub struct JobDetails {
    /// When this was read, by the database's clock.
    pub at: DateTime<Utc>,
    /// Its number.
    pub id: JobId,
    /// Its kind.
    pub kind: String,
    /// Its state.
    pub state: JobState,
    /// True if its kind is paused.
    pub paused: bool,
    /// Attempts so far, including the one that runs.
    pub attempts: i16,
    /// The most attempts it may have.
    pub max_attempts: i16,
    /// Steps of priority, those below 0 first.
    pub priority: i16,
    /// Its lane.
    pub lane: Option<String>,
    /// Its unique key.
    pub unique_key: Option<String>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When it becomes due or became ready. `None` for a running job or a dead letter.
    pub due_at: Option<DateTime<Utc>>,
    /// When it was last claimed.
    pub claimed_at: Option<DateTime<Utc>>,
    /// How often it was claimed.
    pub claims: Option<i32>,
    /// The end of its lease, unless the worker renews it.
    pub lease_until: Option<DateTime<Utc>>,
    /// The worker that runs it.
    pub worker: Option<String>,
    /// When it became a dead letter.
    pub died_at: Option<DateTime<Utc>>,
    /// Why it became a dead letter.
    pub reason: Option<String>,
    /// The trace context of its enqueuer.
    pub trace: Option<String>,
    /// Its arguments: ids, never personal data.
    pub args: Box<RawValue>,
    /// The last failed attempts, the oldest first.
    pub errors: Vec<AttemptError>,
}

/// One failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptError {
    /// Its number, from 1.
    pub attempt: i32,
    /// When it failed.
    pub at: DateTime<Utc>,
    /// The error.
    pub error: String,
}

/// Reads the job from the live jobs or the dead letters. `None` for a job that has completed.
pub async fn show(conn: &mut PgConnection, id: JobId) -> Result<Option<JobDetails>, AdminError> {
    match live(conn, id).await? {
        Some(job) => Ok(Some(job)),
        None => dead(conn, id).await,
    }
}

async fn live(conn: &mut PgConnection, id: JobId) -> Result<Option<JobDetails>, AdminError> {
    let row = sqlx::query!(
        r#"select id, kind, ready, locked_by, attempts, max_attempts, priority, lane, unique_key, created_at, run_at,
               claimed_at, claim, trace, args as "args: Json<Box<RawValue>>",
               errors as "errors: Json<Vec<AttemptError>>", now() as "now!",
               exists (select from queue.paused where paused.kind = jobs.kind) as "paused!"
           from queue.jobs where id = $1"#,
        id,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| {
        let state = JobState::of_live(row.ready, row.locked_by.is_some());
        let running = state == JobState::Running;
        JobDetails {
            at: row.now,
            id: row.id,
            kind: row.kind,
            state,
            paused: row.paused,
            attempts: row.attempts,
            max_attempts: row.max_attempts,
            priority: row.priority,
            lane: row.lane,
            unique_key: row.unique_key,
            created_at: row.created_at,
            due_at: (!running).then_some(row.run_at),
            claimed_at: row.claimed_at,
            claims: Some(row.claim),
            lease_until: running.then_some(row.run_at),
            worker: row.locked_by,
            died_at: None,
            reason: None,
            trace: row.trace,
            args: row.args.0,
            errors: row.errors.map_or_else(Vec::new, |errors| errors.0),
        }
    }))
}

async fn dead(conn: &mut PgConnection, id: JobId) -> Result<Option<JobDetails>, AdminError> {
    let row = sqlx::query!(
        r#"select id, kind, died_at, reason, attempts, max_attempts, priority, lane, unique_key, created_at, trace,
               args as "args: Json<Box<RawValue>>", errors as "errors: Json<Vec<AttemptError>>", now() as "now!",
               exists (select from queue.paused where paused.kind = dead_jobs.kind) as "paused!"
           from queue.dead_jobs where id = $1"#,
        id,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| JobDetails {
        at: row.now,
        id: row.id,
        kind: row.kind,
        state: JobState::Dead,
        paused: row.paused,
        attempts: row.attempts,
        max_attempts: row.max_attempts,
        priority: row.priority,
        lane: row.lane,
        unique_key: row.unique_key,
        created_at: row.created_at,
        due_at: None,
        claimed_at: None,
        claims: None,
        lease_until: None,
        worker: None,
        died_at: Some(row.died_at),
        reason: Some(row.reason),
        trace: row.trace,
        args: row.args.0,
        errors: row.errors.map_or_else(Vec::new, |errors| errors.0),
    }))
}
