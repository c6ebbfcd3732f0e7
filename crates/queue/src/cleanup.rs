//! Deletes what is old from the queue's own tables.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    attempt::Attempt,
    database::is_unavailable,
    job::{Job, JobArgs, JobError},
    metrics,
    pool::Pool,
    rate_limit,
};

/// The most dead letters deleted in one statement, so that transactions stay short.
const BATCH: i64 = 5000;

/// How long the job waits if the database is unavailable. That costs no attempt.
const DATABASE_AWAY: Duration = Duration::from_secs(2);

/// What [`CleanupQueue`] works with.
#[derive(Debug, Clone)]
pub struct CleanupQueueDeps {
    /// The database.
    pub pool: Pool,
    /// How long dead letters are kept.
    pub keep_dead_jobs: Duration,
}

/// Deletes dead letters that are older than their retention, throughput figures older than a day,
/// workers that were killed more than an hour ago, and rate limits that have recovered. Enqueued by
/// a schedule.
#[derive(Debug, Serialize, Deserialize)]
pub struct CleanupQueue {}

impl JobArgs for CleanupQueue {
    const NAME: &'static str = "cleanup_queue";
    const MAX_ATTEMPTS: u16 = 3;
}

impl Job<CleanupQueueDeps> for CleanupQueue {
    const TIMEOUT: Duration = Duration::from_mins(10);

    async fn run(&self, deps: &CleanupQueueDeps, _: &Attempt) -> Result<(), JobError> {
        let deleted = clean(deps).await.map_err(|error| {
            if is_unavailable(&error) {
                JobError::Snooze(DATABASE_AWAY)
            } else {
                JobError::retry(error)
            }
        })?;
        metrics::dead_letters_removed(deleted);
        tracing::info!(dead_letters = deleted, "queue cleaned");
        Ok(())
    }
}

async fn clean(deps: &CleanupQueueDeps) -> Result<u64, sqlx::Error> {
    let mut deleted = 0;
    loop {
        let batch = sqlx::query!(
            "delete from queue.dead_jobs where id = any(array(
                 select id from queue.dead_jobs where died_at < now() - make_interval(secs => $1)
                 order by died_at, id limit $2))",
            deps.keep_dead_jobs.as_secs_f64(),
            BATCH,
        )
        .execute(&mut *deps.pool.acquire().await?)
        .await?;
        deleted += batch.rows_affected();
        if batch.rows_affected() < BATCH.unsigned_abs() {
            break;
        }
    }
    sqlx::query!("delete from queue.throughput where minute < now() - interval '1 day'")
        .execute(&mut *deps.pool.acquire().await?)
        .await?;
    sqlx::query!("delete from queue.workers where seen_at < now() - interval '1 hour'")
        .execute(&mut *deps.pool.acquire().await?)
        .await?;
    rate_limit::delete_expired(&mut *deps.pool.acquire().await?).await?;
    Ok(deleted)
}
