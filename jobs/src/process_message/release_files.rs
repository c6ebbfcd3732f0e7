//! The files of a message that has ended, where they are not to be kept: at Twilio, or with us.
//!
//! It comes after the message's end. Killed between the two, `CleanupMediaFiles` finds what is left to do.

use store::media::erase_of_message;
use twilio::InboundWebhook;

use crate::{CleanupTwilioCopies, MessageDeps, StepError};

/// Lets go of the message's files, as far as the operator wishes. A failure is nobody's: the upkeep makes up for it.
pub(crate) async fn release_files(deps: &MessageDeps, webhook: &InboundWebhook) {
    if webhook.media().is_empty() || (deps.keep_media && !deps.delete_at_twilio) {
        return;
    }
    if let Err(error) = release(deps, webhook).await {
        let sid = webhook.message_sid();
        tracing::warn!(message.sid = %sid, error = &error as &dyn std::error::Error, "its files go with the next upkeep");
    }
}

#[tracing::instrument(name = "step.release_files", level = "debug", skip_all)]
async fn release(deps: &MessageDeps, webhook: &InboundWebhook) -> Result<(), StepError> {
    let mut conn = deps.media.deps.pool.acquire().await?;
    let sid = webhook.message_sid();
    if !deps.keep_media {
        erase_of_message(&mut conn, sid.as_str()).await?;
    }
    if deps.delete_at_twilio {
        CleanupTwilioCopies::enqueue(&mut conn, [sid.clone()]).await?;
    }
    Ok(())
}
