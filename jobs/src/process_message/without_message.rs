//! Ends jobs that have no message to end: it has ended before, or there is none.
//!
//! A job must not end on the word of a read. The connection may have reached a standby that lags
//! behind the primary, where the message is not stored yet. So the statement, or the transaction,
//! that ends the job under its fence reads again: no standby runs it.

use queue::{Attempt, JobError};
use store::inbound_messages;
use twilio::MessageSid;

use crate::{MessageDeps, StepError, error::READ_AGAIN};

/// Completes the job of a message that has ended.
pub(super) async fn complete(
    deps: &MessageDeps,
    sid: &MessageSid,
    attempt: &Attempt,
) -> Result<(), StepError> {
    let complete = async {
        let (mut conn, fence) = (deps.pool.acquire().await?, attempt.fence());
        Ok(inbound_messages::complete_job_of_ended(&mut conn, fence, sid.as_str()).await?)
    };
    confirmed(attempt, sid, complete).await
}

/// Makes the job of a message that is not stored a dead letter, with this error.
pub(super) async fn discard(
    deps: &MessageDeps,
    sid: &MessageSid,
    attempt: &Attempt,
    error: StepError,
) -> JobError {
    let discard = async {
        let mut tx = deps.pool.begin().await?;
        attempt.discard(&mut tx, &error.to_string()).await?;
        let is_stored = inbound_messages::exists(&mut tx, sid.as_str()).await?;
        if is_stored {
            tx.rollback().await?;
        } else {
            tx.commit().await?;
        }
        Ok(!is_stored)
    };
    match confirmed(attempt, sid, discard).await {
        Ok(()) => JobError::discard(error),
        Err(error) => error.into(),
    }
}

/// Waits and reads the message again if `end` has not confirmed that the job is to end.
async fn confirmed(
    attempt: &Attempt,
    sid: &MessageSid,
    end: impl Future<Output = Result<bool, StepError>>,
) -> Result<(), StepError> {
    if attempt
        .completed_by(end, |ended| matches!(ended, Ok(true)))
        .await?
    {
        return Ok(());
    }
    tracing::warn!(message.sid = %sid, "the message was read on a server that lags: it is read again");
    Err(StepError::Wait(READ_AGAIN))
}
