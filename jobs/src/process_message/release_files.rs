//! Erases the files of a message that has ended, where they are not to be kept: at Twilio, or in
//! our store.
//!
//! This step runs after the message's end. If the worker is killed between the two,
//! `CleanupMediaFiles` does the rest.

use std::error::Error;

use store::media::erase_of_message;
use twilio::InboundWebhook;

use crate::{CleanupTwilioCopies, MessageDeps, StepError};

/// Erases the message's files as the settings say. If it fails, only a warning is logged:
/// `CleanupMediaFiles` tries again.
pub(super) async fn release_files(deps: &MessageDeps, webhook: &InboundWebhook) {
    if webhook.media().is_empty() || (deps.keep_media && !deps.delete_at_twilio) {
        return;
    }
    if let Err(error) = release(deps, webhook).await {
        let sid = webhook.message_sid();
        tracing::warn!(message.sid = %sid, error = &error as &dyn Error, "cleanup_media_files will erase the files");
    }
}

#[tracing::instrument(name = "step.release_files", level = "debug", skip_all)]
async fn release(deps: &MessageDeps, webhook: &InboundWebhook) -> Result<(), StepError> {
    let mut conn = deps.pool.acquire().await?;
    let sid = webhook.message_sid();
    if !deps.keep_media {
        erase_of_message(&mut conn, sid.as_str()).await?;
    }
    if deps.delete_at_twilio {
        CleanupTwilioCopies::enqueue(&mut conn, [sid.clone()]).await?;
    }
    Ok(())
}
