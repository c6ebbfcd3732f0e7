//! Ends a job by a statement, or a transaction, that confirms what the job has read.
//!
//! A job must not end on the word of a read. The connection may have reached a standby that lags
//! behind the primary. So what deletes the job's row under its fence reads again: no standby runs
//! it.

use std::time::Duration;

use queue::Attempt;

use crate::StepError;

/// How long a job waits before it reads again.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Ends the job with `end`, which says whether it confirmed that the job is to end. If it did not,
/// the job waits and reads everything again.
pub(crate) async fn end_confirmed(
    attempt: &Attempt,
    end: impl Future<Output = Result<bool, StepError>>,
) -> Result<(), StepError> {
    if attempt
        .completed_by(end, |ended| matches!(ended, Ok(true)))
        .await?
    {
        return Ok(());
    }
    tracing::warn!("what the job read came from a server that lags: it is read again");
    Err(StepError::Wait(READ_AGAIN))
}
