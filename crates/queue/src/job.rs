//! What a job is, and what an attempt at one can say.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use sqlx::PgConnection;
use tracing::Span;

use crate::Backoff;

/// A job's number, unique for ever.
pub type JobId = i64;

/// Links the span of an attempt to the trace context that came with the job. Called before the span is entered. Returns
/// the trace context of the span itself.
pub type LinkTrace = fn(span: &Span, enqueued_by: Option<&str>) -> Option<String>;

/// Who goes first. Each step is worth ten minutes of waiting, so that nothing waits for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(pub(crate) i16);

impl Priority {
    /// Before everything else that came in within the last ten minutes.
    pub const HIGH: Self = Self(-1);
    /// In order of arrival.
    pub const NORMAL: Self = Self(0);
    /// After everything else, for ten minutes.
    pub const LOW: Self = Self(1);
}

/// The arguments of one kind of job, and what whoever enqueues it must know.
///
/// The arguments are stored as JSON and read back by whatever version of the program claims the job, so a new field
/// needs a default. They hold ids only: operators see the rows of the queue.
pub trait JobArgs: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The kind, as stored in the rows. Never rename it.
    const NAME: &'static str;
    /// How many attempts may fail (or die with their process) before the job is a dead letter.
    const MAX_ATTEMPTS: u16 = 12;
    /// The priority among the jobs of this kind, unless [`crate::NewJob::priority`] says otherwise.
    const PRIORITY: Priority = Priority::NORMAL;

    /// The id of the row that the job is about. It is a field of the log lines of each attempt.
    fn subject(&self) -> Option<String> {
        None
    }
}

/// What a worker does with a job: its policy for attempts, and the work.
///
/// It is a trait of its own, apart from [`JobArgs`], so that a crate can enqueue a job without the code that runs it.
/// `Deps` is what the job works with: pools, clients, settings.
pub trait Job<Deps>: JobArgs {
    /// How long one attempt may take before it is cancelled and counts as failed.
    const TIMEOUT: Duration = Duration::from_mins(1);
    /// The delay before the next attempt when the error does not name one.
    const BACKOFF: Backoff = Backoff::DEFAULT;

    /// Makes one attempt. It may be cancelled at any `.await`. It may run again after it has succeeded, unless it
    /// completes through [`Attempt::complete`].
    fn run(
        &self,
        deps: &Deps,
        attempt: &Attempt,
    ) -> impl Future<Output = Result<(), JobError>> + Send;
}

/// How an attempt ends when it does not succeed.
///
/// The text of the errors is stored with the job and shown to operators, so it must hold no personal data.
#[derive(Debug)]
pub enum JobError {
    /// Run again after the job's backoff, or `after` the delay that the error carries. Costs an attempt.
    Retry {
        /// What went wrong.
        source: anyhow::Error,
        /// The delay asked for by whoever refused us (a `Retry-After`), if any.
        after: Option<Duration>,
    },
    /// Run again after this delay. Costs no attempt: nothing failed, it is just not time yet.
    Snooze(Duration),
    /// It will never succeed: a dead letter now.
    Discard(anyhow::Error),
    /// Another worker holds the job; whatever this attempt did must be rolled back.
    LeaseLost,
}

impl JobError {
    /// A failure that is worth another attempt after the job's backoff.
    pub fn retry(source: impl Into<anyhow::Error>) -> Self {
        Self::Retry {
            source: source.into(),
            after: None,
        }
    }

    /// A failure that no further attempt can mend.
    pub fn discard(source: impl Into<anyhow::Error>) -> Self {
        Self::Discard(source.into())
    }
}

impl From<CompleteError> for JobError {
    fn from(error: CompleteError) -> Self {
        match error {
            CompleteError::LeaseLost => Self::LeaseLost,
            CompleteError::Database(_) => Self::retry(error),
        }
    }
}

/// Why a job could not be completed in the caller's transaction, which must then be rolled back.
#[derive(Debug, thiserror::Error)]
pub enum CompleteError {
    /// The lease ran out and the job was claimed again, or it has completed elsewhere.
    #[error("the lease was lost: another worker has the job")]
    LeaseLost,
    /// The database did not answer as it should.
    #[error("could not complete the job")]
    Database(#[from] sqlx::Error),
}

/// Names one claim of one job: every write about an attempt must name it, and changes nothing if another claim came after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The job.
    pub job: JobId,
    /// The claim.
    pub claim: i32,
}

/// One run of a job, holding its lease.
#[derive(Debug)]
pub struct Attempt {
    pub(crate) id: JobId,
    pub(crate) claim: i32,
    pub(crate) number: u16,
    pub(crate) max: u16,
    pub(crate) trace: Option<String>,
    pub(crate) completed: Arc<AtomicBool>,
}

impl Attempt {
    /// The job's number.
    pub fn job_id(&self) -> JobId {
        self.id
    }

    /// Which attempt this is, from 1.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// If this attempt fails, there is no other.
    pub fn is_last(&self) -> bool {
        self.number >= self.max
    }

    /// What a statement of the caller's must name that completes the job. See [`Attempt::completed_by`].
    pub fn fence(&self) -> Fence {
        Fence {
            job: self.id,
            claim: self.claim,
        }
    }

    /// For completing many jobs in one statement of the caller's: `work` has a transaction delete this job's row under
    /// its [`Fence`], as [`Attempt::complete`] does for one, and `has` tells by its answer whether one has committed that
    /// did.
    pub async fn completed_by<T>(
        &self,
        work: impl Future<Output = T>,
        has: impl FnOnce(&T) -> bool,
    ) -> T {
        // Already now, as the row is gone before the answer is here: it would be taken for a lost lease.
        self.completed.store(true, Ordering::Release);
        let answer = work.await;
        self.completed.store(has(&answer), Ordering::Release);
        answer
    }

    /// The trace context (a W3C `traceparent`) that what this attempt enqueues is to go on with: its own where spans are
    /// collected, else that of whoever enqueued the job.
    pub fn trace(&self) -> Option<&str> {
        self.trace.as_deref()
    }

    /// Makes sure that this attempt still has the job, to the end of the caller's transaction. For an effect that does
    /// not complete the job.
    pub async fn hold(&self, conn: &mut PgConnection) -> Result<(), CompleteError> {
        sqlx::query!(
            "select id from queue.jobs where id = $1 and claim = $2 for update",
            self.id,
            self.claim
        )
        .fetch_optional(conn)
        .await?
        .map(drop)
        .ok_or(CompleteError::LeaseLost)
    }

    /// Deletes the job in the caller's transaction, so that the job ends exactly when its effect commits.
    ///
    /// Call it last, then commit, then return `Ok`. On an error the transaction must be rolled back: with a lost
    /// lease another worker is about to produce, or has produced, the same effect.
    pub async fn complete(&self, conn: &mut PgConnection) -> Result<(), CompleteError> {
        let done = sqlx::query!(
            "delete from queue.jobs where id = $1 and claim = $2",
            self.id,
            self.claim
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
