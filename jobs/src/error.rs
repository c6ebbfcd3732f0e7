//! The errors of steps, and the one place that decides what each error means for the job.

use std::time::Duration;

use group_commit::{OnError, SubmitError};
use queue::{CompleteError, EnqueueError, JobError, admin::AdminError};
use store::StoreError;
use twilio::{MessageSid, PayloadError, media::MediaError, rest::ListError};

use crate::{DownloadError, MediaStoreError, extract::ExtractError};

/// How long a job waits if the database is unavailable. A restart of the database takes less time.
const DATABASE_AWAY: Duration = Duration::from_secs(2);

/// How long a job waits if the media store is away, full or read-only. An operator has to mend that.
const MEDIA_STORE_AWAY: Duration = Duration::from_secs(15);

/// How long a job waits if Twilio has had too many requests and does not say how long to wait.
const THROTTLED: Duration = Duration::from_secs(10);

/// How long a job waits if a model has had too many requests and does not say how long to wait.
const MODEL_THROTTLED: Duration = Duration::from_secs(30);

/// How long a look for messages at Twilio waits if Twilio cannot be reached.
const TWILIO_AWAY: Duration = Duration::from_secs(30);

/// How long a look for messages at Twilio waits if Twilio's list cannot be read. An operator has to
/// find out why.
const LIST_UNREADABLE: Duration = Duration::from_mins(5);

/// How long a job waits if Twilio or a model refuses our account. An operator has to fix the
/// account.
const ACCOUNT_REFUSED: Duration = Duration::from_mins(1);

/// Why a step failed. The text is stored with the job, so it holds no personal data.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The job names a message that is not stored.
    #[error("there is no message {0}")]
    NoSuchMessage(MessageSid),
    /// The message's fields were erased before it was processed.
    #[error("the fields of message {0} have been erased")]
    Erased(MessageSid),
    /// The stored fields are not a message. The receiver checks what it stores, so another version
    /// wrote them.
    #[error("the stored message cannot be read: {0}")]
    Unreadable(#[from] PayloadError),
    /// The tables could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the message cannot be stored for now.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The media store failed.
    #[error(transparent)]
    MediaStore(#[from] MediaStoreError),
    /// An object could not be deleted. Unlike with other calls of the media store, the object itself
    /// may be at fault.
    #[error(transparent)]
    NotDeleted(MediaStoreError),
    /// The extractor failed.
    #[error("the items of the message could not be extracted")]
    Extract {
        /// Why.
        #[source]
        error: ExtractError,
        /// True: the last attempt uses the rules instead.
        or_rules: bool,
    },
    /// Twilio does not list what the job needs.
    #[error(transparent)]
    List(#[from] ListError),
    /// Nothing failed. The job continues after this time.
    #[error("the job continues in {0:?}")]
    Wait(Duration),
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopping,
    /// A statement returned another number of rows than it must. This is a bug.
    #[error("a statement returned another number of rows than it must")]
    Mismatch,
    /// The kind of job could not be paused.
    #[error(transparent)]
    Pause(#[from] AdminError),
    /// A job that belongs to the effect could not be enqueued.
    #[error(transparent)]
    Enqueue(#[from] EnqueueError),
    /// The job could not be completed with its effect.
    #[error(transparent)]
    Complete(#[from] CompleteError),
}

impl StepError {
    /// Why a message failed: a word from a closed set.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NoSuchMessage(_) => "no_such_message",
            Self::Erased(_) => "erased",
            Self::Unreadable(_) => "unreadable",
            Self::Store(error) => error.label(),
            Self::Download(_) | Self::MediaStore(_) | Self::NotDeleted(_) => "media",
            Self::List(_) => "twilio",
            Self::Extract { error, .. } => error.label(),
            Self::Wait(_) | Self::Stopping => "gave_up",
            Self::Mismatch | Self::Pause(_) | Self::Enqueue(_) | Self::Complete(_) => "database",
        }
    }
}

impl From<sqlx::Error> for StepError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What follows when a batch of requests has failed. `None`: it took too long.
///
/// If the database is unavailable, all requests fail, as the next try would fail, too. After
/// another error each request is executed alone, so that only the requests that the database
/// rejects fail.
pub(crate) fn on_batch_error(error: Option<&StepError>) -> OnError {
    match error {
        None => OnError::FailAll,
        Some(StepError::Store(error)) if error.is_unavailable() => OnError::FailAll,
        Some(_) => OnError::Split,
    }
}

impl From<SubmitError<Self>> for StepError {
    fn from(error: SubmitError<Self>) -> Self {
        match error {
            SubmitError::Failed(error) => error,
            // Batches fail as a whole only if the database is unavailable: see `on_batch_error`.
            SubmitError::TimedOut | SubmitError::BatchFailed => Self::Store(StoreError::TimedOut),
            // `submit` waits for a place in the queue, so the queue is never full.
            SubmitError::Closed | SubmitError::QueueFull => Self::Stopping,
        }
    }
}

/// With the rules as fallback, each failed attempt brings the last attempt nearer, which uses the
/// rules. Without a fallback, waiting costs no attempt.
fn of_extraction(error: ExtractError, or_rules: bool) -> JobError {
    match error {
        ExtractError::Content(content) => match content.downcast::<MediaStoreError>() {
            Ok(store) => of_media_store(*store),
            Err(content) => JobError::retry(ExtractError::Content(content)),
        },
        ExtractError::Unavailable(_) | ExtractError::BadAnswer(_) => JobError::retry(error),
        ExtractError::Throttled { after } => JobError::Snooze(after.unwrap_or(MODEL_THROTTLED)),
        ExtractError::Account { .. } => {
            tracing::error!(%error, "messages wait until EXTRACTOR and its settings are right");
            if or_rules {
                JobError::retry(error)
            } else {
                JobError::Snooze(ACCOUNT_REFUSED)
            }
        }
        ExtractError::Refused(_) => JobError::discard(error),
    }
}

/// The store serves all messages, so no message is at fault, and none loses an attempt.
fn of_media_store(error: MediaStoreError) -> JobError {
    match error {
        MediaStoreError::Seal(error) => StepError::from(error).into(),
        error if error.is_unavailable() => {
            let source = &error as &dyn std::error::Error;
            tracing::error!(
                error = source,
                "files wait until the media store can be used"
            );
            JobError::Snooze(MEDIA_STORE_AWAY)
        }
        error => JobError::retry(error),
    }
}

/// No job is at fault, so none loses an attempt. A job that looks at Twilio's list would come back
/// with its schedule anyway.
fn of_list(error: &ListError) -> JobError {
    JobError::Snooze(match error {
        ListError::Throttled { retry_after } => {
            tracing::warn!(%error, "messages are recovered later");
            retry_after.unwrap_or(THROTTLED)
        }
        ListError::Unavailable(_) => {
            tracing::warn!(%error, "messages are recovered later");
            TWILIO_AWAY
        }
        ListError::Account { .. } => {
            tracing::error!(%error, "messages are not recovered until TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN are right");
            ACCOUNT_REFUSED
        }
        ListError::Unreadable | ListError::TooLong => {
            tracing::error!(%error, "messages are not recovered until Twilio's list can be read");
            LIST_UNREADABLE
        }
    })
}

impl From<StepError> for JobError {
    fn from(error: StepError) -> Self {
        match error {
            StepError::NoSuchMessage(_) | StepError::Erased(_) | StepError::Unreadable(_) => {
                Self::discard(error)
            }
            StepError::Wait(time) => Self::Snooze(time),
            StepError::Stopping => Self::Snooze(Duration::ZERO),
            StepError::Mismatch => {
                tracing::error!(%error, "this is a bug, please report it");
                Self::retry(error)
            }
            StepError::Download(DownloadError::Store(error)) | StepError::MediaStore(error) => {
                of_media_store(error)
            }
            StepError::NotDeleted(error) => Self::retry(error),
            StepError::Download(DownloadError::NotYet { look_again }) => Self::Snooze(look_again),
            // If the file was deleted with its user, the next attempt finds no user.
            StepError::Download(error @ DownloadError::Overtaken) => Self::retry(error),
            StepError::Download(DownloadError::Twilio(error)) => match error {
                MediaError::Throttled { retry_after } => {
                    Self::Snooze(retry_after.unwrap_or(THROTTLED))
                }
                // No message is at fault, so none loses an attempt.
                MediaError::Account { .. } => {
                    tracing::error!(%error, "media wait until TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN are right");
                    Self::Snooze(ACCOUNT_REFUSED)
                }
                MediaError::Unavailable(_) => Self::retry(error),
                MediaError::Forbidden(_) | MediaError::NotFound | MediaError::TooLarge { .. } => {
                    Self::discard(error)
                }
            },
            StepError::Extract { error, or_rules } => of_extraction(error, or_rules),
            StepError::List(error) => of_list(&error),
            StepError::Enqueue(error @ EnqueueError::Args { .. }) => Self::discard(error),
            StepError::Complete(CompleteError::LeaseLost) => Self::LeaseLost,
            StepError::Pause(
                error @ (AdminError::TooSlow | AdminError::NoQueue | AdminError::Forbidden),
            ) => Self::retry(error),
            StepError::Pause(AdminError::Database(error))
            | StepError::Enqueue(EnqueueError::Database(error))
            | StepError::Complete(CompleteError::Database(error)) => StepError::from(error).into(),
            StepError::Store(store) => match store {
                // No job is at fault, so none loses an attempt.
                StoreError::Unavailable(_) | StoreError::TimedOut => Self::Snooze(DATABASE_AWAY),
                // Opened again, the message gets a reservation.
                StoreError::RateLimitUsedUp => Self::Snooze(Duration::ZERO),
                // The next attempt finds that no user has the number any more.
                StoreError::UserGone { .. }
                | StoreError::Database(_)
                | StoreError::NotOneRow { .. }
                | StoreError::Seal { .. }
                // A key may be missing in the configuration by mistake. The retries give an
                // operator time to add it, and the dead letter can be requeued.
                | StoreError::Open { .. }
                | StoreError::UnknownValue { .. }
                | StoreError::AlreadyLinked
                | StoreError::Migrate(_)
                | StoreError::Migration { .. }
                | StoreError::Function { .. } => Self::retry(store),
                StoreError::JobArgs(_) => Self::discard(store),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_the_database_is_unavailable_all_requests_of_a_batch_fail_and_no_job_loses_an_attempt() {
        let unavailable = StepError::from(sqlx::Error::PoolClosed);
        assert_eq!(on_batch_error(Some(&unavailable)), OnError::FailAll);
        assert_eq!(on_batch_error(None), OnError::FailAll);
        for error in [
            SubmitError::Failed(unavailable),
            SubmitError::BatchFailed,
            SubmitError::TimedOut,
        ] {
            let error = JobError::from(StepError::from(error));
            assert!(
                matches!(error, JobError::Snooze(DATABASE_AWAY)),
                "{error:?}"
            );
        }
    }

    #[test]
    fn after_another_error_each_request_of_a_batch_is_executed_alone() {
        let rejected = StepError::from(sqlx::Error::RowNotFound);
        assert_eq!(on_batch_error(Some(&rejected)), OnError::Split);
        assert_eq!(on_batch_error(Some(&StepError::Mismatch)), OnError::Split);
    }
}
