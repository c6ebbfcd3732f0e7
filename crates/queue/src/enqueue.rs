//! Putting jobs into the queue.

use sqlx::PgConnection;

use crate::{Job, JobId};

/// Why a job could not be enqueued.
#[derive(Debug, thiserror::Error)]
pub enum EnqueueError {
    /// The arguments do not serialise to JSON.
    #[error("the arguments of a `{kind}` job cannot be written as JSON")]
    Args {
        /// The kind of job.
        kind: &'static str,
        /// What `serde_json` says.
        source: serde_json::Error,
    },
    /// The database did not take it.
    #[error("could not enqueue a job")]
    Database(#[from] sqlx::Error),
}

/// Inserts the job on the caller's connection: inside a transaction it becomes due when that commits, and not at all
/// when that rolls back.
pub async fn enqueue<J: Job>(conn: &mut PgConnection, job: &J) -> Result<JobId, EnqueueError> {
    let args = serde_json::to_string(job).map_err(|source| EnqueueError::Args {
        kind: J::NAME,
        source,
    })?;
    // As text: a JSON parameter would be `jsonb` on its way, which refuses "\u0000" and rewrites numbers.
    let id = sqlx::query_scalar!(
        "insert into queue.jobs (kind, max_attempts, args) values ($1, $2, $3::text::json) returning id",
        J::NAME,
        i16::try_from(J::MAX_ATTEMPTS).unwrap_or(i16::MAX),
        args
    )
    .fetch_one(conn)
    .await?;
    Ok(id)
}
