//! A job: its arguments, what a worker does with it, and how an attempt can fail.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    attempt::{Attempt, CompleteError},
    backoff::Backoff,
};

/// The order among jobs that are ready. One step of priority is worth ten minutes of waiting, so
/// that no job waits for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(pub(crate) i16);

impl Priority {
    /// Before all other jobs of the last ten minutes.
    pub const HIGH: Self = Self(-1);
    /// In order of arrival.
    pub const NORMAL: Self = Self(0);
    /// After all other jobs, for ten minutes.
    pub const LOW: Self = Self(1);

    /// The number, as stored.
    pub fn as_i16(self) -> i16 {
        self.0
    }
}

/// The arguments of one kind of job, and what whoever enqueues it must know.
///
/// The arguments are stored as JSON and read back by whatever version of the program claims the
/// job, so a new field needs a default. They hold ids only: operators see the rows of the queue.
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
/// It is a trait of its own, apart from [`JobArgs`], so that a crate can enqueue a job without the
/// code that runs it. `Deps` is what the job works with: pools, clients, settings.
pub trait Job<Deps>: JobArgs {
    /// How long one attempt may take before it is cancelled and counts as failed.
    const TIMEOUT: Duration = Duration::from_mins(1);
    /// The delay before the next attempt when the error does not name one.
    const BACKOFF: Backoff = Backoff::DEFAULT;

    /// Makes one attempt. It may be cancelled at any `.await`. It may run again after it has
    /// succeeded, unless it completes through [`Attempt::complete`].
    fn run(
        &self,
        deps: &Deps,
        attempt: &Attempt,
    ) -> impl Future<Output = Result<(), JobError>> + Send;
}

/// Why an attempt did not succeed.
///
/// The texts of the errors are stored with the job, and operators see them. They must hold no
/// personal data.
#[derive(Debug)]
pub enum JobError {
    /// The job runs again after its backoff, or `after` the delay that the error carries. The
    /// attempt counts.
    Retry {
        /// What went wrong.
        source: anyhow::Error,
        /// The delay that the other side asked for (a `Retry-After`), if any.
        after: Option<Duration>,
    },
    /// The job runs again after this delay. The attempt does not count, as nothing failed.
    Snooze(Duration),
    /// The job will never succeed: it becomes a dead letter now.
    Discard(anyhow::Error),
    /// Another worker holds the job. The effect of this attempt must be rolled back.
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

    /// A failure that another attempt would repeat.
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
