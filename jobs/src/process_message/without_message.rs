//! Ends jobs that have no message to end: it has ended before, or there is none.
//! Whatever ends the job reads again: on a standby that lags, the message may not be stored yet.

use queue::{Attempt, JobError};
use store::inbound_messages;
use twilio::MessageSid;

use crate::{MessageDeps, StepError, confirmed_end::end_confirmed};

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
    end_confirmed(attempt, complete).await
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
    match end_confirmed(attempt, discard).await {
        Ok(()) => JobError::discard(error),
        Err(error) => error.into(),
    }
}
