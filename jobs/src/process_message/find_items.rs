//! Finds what a message says, with all files that came with it. No transaction is open meanwhile: a
//! model may take long.

use chrono::{DateTime, TimeDelta, Utc};
use queue::Attempt;
use store::media::{Media, MediaState, Refusal};

use super::{
    attachments::attachments,
    download::download,
    extract::{Extraction, MessageContent},
    stage::{OpenMessage, SenderUser},
};
use crate::{MessageDeps, Notice, StepError, metrics};

/// A message older than this is not left to wait for a model if the rules may be used instead.
/// Waiting costs no attempt, so the last attempt may never come.
const MAX_WAIT_FOR_MODEL: TimeDelta = TimeDelta::hours(1);

/// Fetches the message's files, extracts its items, and says what to reply.
#[tracing::instrument(name = "step.find_items", level = "debug", skip_all)]
pub(super) async fn find_items(
    deps: &MessageDeps,
    message: &OpenMessage,
    sender: &SenderUser,
    attempt: &Attempt,
) -> Result<(Extraction, Notice), StepError> {
    let (webhook, received_at) = (&message.webhook, message.received_at);
    let files: Vec<Media> = if webhook.media().is_empty() {
        Vec::new()
    } else {
        download(&deps.download, webhook, sender.user_id, received_at).await?
    };
    let notice = files
        .iter()
        .find_map(|file| notice_of(file.state, deps.max_media_bytes))
        .unwrap_or(Notice::Processed);
    let files = attachments(&deps.download.media_store, &deps.keyring, &files)?;
    let content = MessageContent {
        text: webhook.body(),
        location: webhook.location(),
        media: &files,
    };
    let extractor = &deps.extractor;
    let may_fall_back = extractor.may_fall_back();
    let fall_back = may_fall_back && (attempt.is_last() || is_old(deps, received_at).await?);
    let extraction = extractor.extract(&content, fall_back).await;
    let extraction = extraction.map_err(|error| StepError::Extract {
        error,
        or_rules: may_fall_back,
    })?;
    metrics::extraction(extraction.by);
    if let Some(error) = &extraction.instead_because_of {
        let message_sid = webhook.message_sid();
        tracing::warn!(message.sid = %message_sid, why = error.label(), "the rules were used instead of the model");
    }
    Ok((extraction, notice))
}

/// What to reply to the sender of a file that was refused.
fn notice_of(state: MediaState, max_bytes: u64) -> Option<Notice> {
    match state {
        MediaState::Refused(Refusal::TooLarge) => Some(Notice::MediaTooLarge(max_bytes)),
        MediaState::Refused(Refusal::TypeNotSupported | Refusal::TooManyPixels) => {
            Some(Notice::MediaUnsupported)
        }
        // The sender can do nothing about these.
        MediaState::Refused(Refusal::Forbidden | Refusal::Skipped)
        | MediaState::Storing
        | MediaState::Stored
        | MediaState::Gone
        | MediaState::Erased => None,
    }
}

async fn is_old(deps: &MessageDeps, received_at: DateTime<Utc>) -> Result<bool, StepError> {
    let mut conn = deps.pool.acquire().await?;
    Ok(store::now(&mut conn).await? - received_at > MAX_WAIT_FOR_MODEL)
}
