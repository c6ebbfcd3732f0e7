//! What does the message say, with all that came with it? No transaction is open meanwhile: a model may take its time.

use chrono::{DateTime, TimeDelta, Utc};
use queue::Attempt;
use store::media::{Media, MediaState, Refusal};
use twilio::InboundWebhook;

use super::{attachments::attachments, download::download, open::Owner};
use crate::{
    MessageDeps, Notice, StepError,
    extract::{Extraction, Message},
    metrics,
};

/// A message older than this waits for no model any more, if the rules may answer instead. Waiting costs no attempt, so
/// there may be no last one.
const PATIENCE: TimeDelta = TimeDelta::hours(1);

/// Fetches the message's files, and finds what it says, and what its user is to be told.
#[tracing::instrument(name = "step.find_items", level = "debug", skip_all)]
pub(crate) async fn find_items(
    deps: &MessageDeps,
    webhook: &InboundWebhook,
    (user_id, _): &Owner,
    received_at: DateTime<Utc>,
    attempt: &Attempt,
) -> Result<(Extraction, Notice), StepError> {
    let files: Vec<Media> = if webhook.media().is_empty() {
        Vec::new()
    } else {
        download(&deps.media, webhook, *user_id, received_at).await?
    };
    let notice = files
        .iter()
        .find_map(|file| not_kept(file.state, deps.max_bytes))
        .unwrap_or(Notice::Processed);
    let keyring = &deps.media.deps.keyring;
    let files = attachments(&deps.media.store, keyring, &files)?;
    let message = Message {
        text: webhook.body(),
        location: webhook.location(),
        media: &files,
    };
    let extractor = &deps.extractor;
    let give_up =
        extractor.may_fall_back() && (attempt.is_last() || is_old(deps, received_at).await?);
    let extraction = extractor.extract(&message, give_up).await;
    let extraction = extraction.map_err(|error| StepError::Extract {
        error,
        or_rules: extractor.may_fall_back(),
    })?;
    metrics::extraction(extraction.by);
    if let Some(error) = &extraction.instead_because_of {
        let message_sid = webhook.message_sid();
        tracing::warn!(message.sid = %message_sid, why = error.label(), "the rules answered instead of the model");
    }
    Ok((extraction, notice))
}

/// What the sender of a file that we do not keep is told.
fn not_kept(state: MediaState, max_bytes: u64) -> Option<Notice> {
    match state {
        MediaState::Refused(Refusal::TooLarge) => Some(Notice::MediaTooLarge(max_bytes)),
        MediaState::Refused(Refusal::TypeNotSupported | Refusal::TooManyPixels) => {
            Some(Notice::MediaUnsupported)
        }
        // What a sender can do nothing about.
        MediaState::Refused(Refusal::Forbidden | Refusal::Skipped)
        | MediaState::Storing
        | MediaState::Stored
        | MediaState::Gone
        | MediaState::Erased => None,
    }
}

async fn is_old(deps: &MessageDeps, received_at: DateTime<Utc>) -> Result<bool, StepError> {
    let mut conn = deps.media.deps.pool.acquire().await?;
    Ok(store::now(&mut conn).await? - received_at > PATIENCE)
}
