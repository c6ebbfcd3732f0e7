//! What steps can fail with, and the one place that decides what a failure means for the job.

use std::time::Duration;

use queue::{CompleteError, EnqueueError, JobError, admin::AdminError};
use store::StoreError;
use twilio::{MessageSid, PayloadError, media::MediaError};

use crate::{DownloadError, MediaStoreError, Notice, extract::ExtractError};

/// How long a job waits for a database that is away. Longer than a restart, shorter than anyone's patience.
const DATABASE_AWAY: Duration = Duration::from_secs(2);

/// How long files wait when Twilio has had too many requests and does not say for how long.
const THROTTLED: Duration = Duration::from_secs(10);

/// How long messages wait when a model has had too many requests and does not say for how long.
const MODEL_THROTTLED: Duration = Duration::from_secs(30);

/// How long messages wait when Twilio or a model does not accept our account, which somebody has to mend.
const ACCOUNT_REFUSED: Duration = Duration::from_mins(1);

/// Why a step failed. No text holds personal data: it is stored with the job.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The job names a message that is not stored.
    #[error("there is no message {0}")]
    NoSuchMessage(MessageSid),
    /// The message's fields were erased before it was processed.
    #[error("the fields of message {0} have been erased")]
    Erased(MessageSid),
    /// The stored fields are no message. The receiver stores none such, so another version wrote them.
    #[error("the stored message cannot be read: {0}")]
    Unreadable(#[from] PayloadError),
    /// The tables could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the message is not to be had for now.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The media store could not be asked.
    #[error(transparent)]
    MediaStore(#[from] MediaStoreError),
    /// It is not known what the message says.
    #[error("it is not known what the message says")]
    Extract {
        /// Why.
        #[source]
        error: ExtractError,
        /// On the last attempt, the rules will say what they find.
        or_rules: bool,
    },
    /// Nothing failed, but it is not time yet.
    #[error("to be looked at again in {0:?}")]
    Wait(Duration),
    /// The process is about to end.
    #[error("the process stops")]
    Stopping,
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
    /// The database is away, so that the same would happen to anything else that is tried now.
    pub(crate) fn is_unavailable(&self) -> bool {
        matches!(self, Self::Store(StoreError::Unavailable(_)))
    }

    /// Why a message failed, in a word from a closed set.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NoSuchMessage(_) => "no_such_message",
            Self::Erased(_) => "erased",
            Self::Unreadable(_) => "unreadable",
            Self::Store(error) => error.label(),
            Self::Download(_) | Self::MediaStore(_) => "media",
            Self::Extract { error, .. } => error.label(),
            Self::Wait(_) | Self::Stopping => "gave_up",
            Self::Pause(_) | Self::Enqueue(_) | Self::Complete(_) => "database",
        }
    }

    /// What the message's user is told when it has failed.
    pub(crate) fn notice(&self) -> Notice {
        match self {
            Self::NoSuchMessage(_)
            | Self::Erased(_)
            | Self::Unreadable(_)
            | Self::Store(_)
            | Self::Download(_)
            | Self::MediaStore(_)
            | Self::Extract { .. }
            | Self::Wait(_)
            | Self::Stopping
            | Self::Pause(_)
            | Self::Enqueue(_)
            | Self::Complete(_) => Notice::Failed,
        }
    }
}

impl From<sqlx::Error> for StepError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Where the rules answer in the end, each failure brings that nearer; where nobody does, waiting costs nothing.
fn of_extraction(error: ExtractError, or_rules: bool) -> JobError {
    match error {
        ExtractError::Unavailable(_) | ExtractError::BadAnswer(_) | ExtractError::Content(_) => {
            JobError::retry(error)
        }
        ExtractError::Throttled { after } => JobError::Snooze(after.unwrap_or(MODEL_THROTTLED)),
        ExtractError::Account { .. } => {
            tracing::error!(%error, "the model is not asked any more until EXTRACTOR and its settings are right");
            if or_rules {
                JobError::retry(error)
            } else {
                JobError::Snooze(ACCOUNT_REFUSED)
            }
        }
        ExtractError::Refused(_) => JobError::discard(error),
    }
}

impl From<StepError> for JobError {
    fn from(error: StepError) -> Self {
        match error {
            StepError::NoSuchMessage(_) | StepError::Erased(_) | StepError::Unreadable(_) => {
                Self::discard(error)
            }
            StepError::Wait(time) => Self::Snooze(time),
            StepError::Stopping => Self::Snooze(Duration::ZERO),
            StepError::Pause(error) => Self::retry(error),
            StepError::Download(DownloadError::Store(error)) | StepError::MediaStore(error) => {
                match error {
                    MediaStoreError::Seal(error) => StepError::from(error).into(),
                    MediaStoreError::Address(_)
                    | MediaStoreError::Folder(_)
                    | MediaStoreError::Missing
                    | MediaStoreError::Store(_)
                    | MediaStoreError::TooLong(_) => Self::retry(error),
                }
            }
            StepError::Download(DownloadError::NotYet { look_again }) => Self::Snooze(look_again),
            // If it was deleted with its user, the next attempt finds that out.
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
            StepError::Enqueue(error @ EnqueueError::Args { .. }) => Self::discard(error),
            StepError::Complete(CompleteError::LeaseLost) => Self::LeaseLost,
            StepError::Enqueue(EnqueueError::Database(error))
            | StepError::Complete(CompleteError::Database(error)) => StepError::from(error).into(),
            StepError::Store(store) => match store {
                // Nobody's failure, so it costs no attempt.
                StoreError::Unavailable(_) => Self::Snooze(DATABASE_AWAY),
                // The next attempt finds that nobody has the number any more.
                StoreError::UserGone { .. }
                | StoreError::Database(_)
                | StoreError::NotOneRow { .. }
                | StoreError::Seal { .. }
                // A key may have been left out of the configuration by mistake: the attempts give time to mend it,
                // and the dead letter can be requeued.
                | StoreError::Open { .. }
                | StoreError::UnknownValue { .. }
                | StoreError::AlreadyLinked
                | StoreError::Migrate(_)
                | StoreError::Migration { .. } => Self::retry(store),
            },
        }
    }
}
