//! A reply whose row was lost after Twilio took its SMS.
//!
//! A failover to an asynchronous standby takes back the last commits. A message whose end is taken
//! back ends again, with a new reply. Twilio may have the SMS of the first one, and only its list
//! tells. So a late reply looks there before it is sent. It costs one request to Twilio.

use std::time::Duration;

use store::sends::Send;
use twilio::rest::MessageRecord;

use super::reconcile;
use crate::{SendDeps, StepError, replies::LIFE};

/// A reply is late if it was stored so long after its message. No failover is quicker.
const LATE: Duration = Duration::from_secs(5);

/// Returns the SMS that was sent for a row that was lost.
pub(super) async fn find_earlier(
    deps: &SendDeps,
    kind: &'static str,
    send: &Send,
) -> Result<Option<MessageRecord>, StepError> {
    let (Some(_), Some(message)) = (send.reply, &send.message) else {
        return Ok(None);
    };
    // How old its message was when the reply was stored.
    let delay = LIFE.saturating_sub(send.life + send.age);
    if delay < LATE {
        return Ok(None);
    }
    // The earlier one was requested before this one was stored.
    if let Some(wait) = reconcile::FIRST_LOOK.checked_sub(send.age) {
        return Err(StepError::Wait(wait.max(Duration::from_millis(1))));
    }
    match reconcile::find(deps, kind, message, send.created_at - delay).await {
        Err(StepError::List(error)) => {
            tracing::warn!(send = %send.id, %error, "Twilio's list of messages could not be read: the reply waits");
            Err(StepError::Wait(reconcile::FIRST_LOOK))
        }
        found => found,
    }
}
