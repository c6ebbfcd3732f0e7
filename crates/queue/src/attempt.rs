//! One attempt at a job: what it may do with the job's row, under its fence.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use sqlx::PgConnection;

/// A job's number. Numbers are never reused.
pub type JobId = i64;

/// Names one claim of one job. Every write about an attempt names it, and changes nothing if the
/// job was claimed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The job.
    pub job: JobId,
    /// The number of the claim.
    pub claim: i32,
}

/// Why a job could not be completed in the caller's transaction. The caller must roll back.
#[derive(Debug, thiserror::Error)]
pub enum CompleteError {
    /// The lease ran out and the job was claimed again, or the job has completed elsewhere.
    #[error("the lease was lost: another worker has the job")]
    LeaseLost,
    /// The database reported an error.
    #[error("could not complete the job")]
    Database(#[from] sqlx::Error),
}

/// One run of a job, which holds the job's lease.
#[derive(Debug)]
pub struct Attempt {
    pub(crate) fence: Fence,
    pub(crate) number: u16,
    pub(crate) max: u16,
    pub(crate) trace: Option<String>,
    pub(crate) completed: Arc<AtomicBool>,
}

impl Attempt {
    /// The job's number.
    pub fn job_id(&self) -> JobId {
        self.fence.job
    }

    /// The number of this attempt, from 1.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// True if no attempt follows when this one fails.
    pub fn is_last(&self) -> bool {
        self.number >= self.max
    }

    /// The fence that a statement of the caller must name to complete the job. See
    /// [`Attempt::completed_by`].
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// Completes the job in a transaction that the caller shares with other jobs. `work` must
    /// delete this job's row under its [`Fence`], as [`Attempt::complete`] does. `has` says, from
    /// the result of `work`, whether a transaction that deleted the row has committed. The same
    /// holds for [`Attempt::discard`].
    pub async fn completed_by<T>(
        &self,
        work: impl Future<Output = T>,
        has: impl FnOnce(&T) -> bool,
    ) -> T {
        // The row is gone before the result arrives. Set after that, the missing row would look
        // like a lost lease.
        self.completed.store(true, Ordering::Release);
        let result = work.await;
        self.completed.store(has(&result), Ordering::Release);
        result
    }

    /// The trace context (a W3C `traceparent`) for jobs that this attempt enqueues: the attempt's
    /// own if spans are collected, else the one that came with the job.
    pub fn trace(&self) -> Option<&str> {
        self.trace.as_deref()
    }

    /// Locks the job's row until the caller's transaction ends, and fails if this attempt no longer
    /// has the job. For an effect that does not complete the job.
    pub async fn hold(&self, conn: &mut PgConnection) -> Result<(), CompleteError> {
        sqlx::query!(
            "select id from queue.jobs where id = $1 and claim = $2 for update",
            self.fence.job,
            self.fence.claim
        )
        .fetch_optional(conn)
        .await?
        .map(drop)
        .ok_or(CompleteError::LeaseLost)
    }

    /// Deletes the job in the caller's transaction, so that the job completes exactly when its
    /// effect commits.
    ///
    /// Call it last, then commit, then return `Ok`. On an error the transaction must be rolled
    /// back: another worker has the job, and produces the same effect or has produced it.
    pub async fn complete(&self, conn: &mut PgConnection) -> Result<(), CompleteError> {
        let done = sqlx::query!(
            "delete from queue.jobs where id = $1 and claim = $2",
            self.fence.job,
            self.fence.claim
        )
        .execute(conn)
        .await?;
        if done.rows_affected() != 1 {
            return Err(CompleteError::LeaseLost);
        }
        self.completed.store(true, Ordering::Release);
        Ok(())
    }
}
