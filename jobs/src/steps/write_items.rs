//! The end of a message: its items, its state and its job's completion, in one commit under the job's fence.
//!
//! Killed before the commit, nothing is there and the job runs again; killed after it, everything is there and the job
//! is gone. The job's row is deleted last, so that a lost lease shows after all else and rolls all back.

use queue::Attempt;
use store::{
    E164,
    enrichment_items::{self, NewItem, Origin, Source, item_id},
    inbound_messages::{self, FinalState},
    user_phone_numbers,
};
use twilio::{InboundWebhook, MessageSid, webhook::MessageKind};
use uuid::Uuid;

use super::Extracted;
use crate::{Deps, StepError};

/// Writes the items for their user and ends message and job. If the number is not the user's any more, by now, the
/// message ends without items: unlinking takes effect at once.
pub(crate) async fn write_items(
    deps: &Deps,
    webhook: &InboundWebhook,
    (user_id, number): (Uuid, &E164),
    extracted: &[Extracted],
    attempt: &Attempt,
) -> Result<(), StepError> {
    let sid = webhook.message_sid().as_str();
    let items: Vec<NewItem> = (0u32..)
        .zip(extracted)
        .map(|(position, item)| NewItem {
            id: item_id(sid, position),
            item_type: item.item_type,
            field_name: item.field_name.map(str::to_owned),
            value: item.value.clone(),
        })
        .collect();
    let mut tx = deps.pool.begin().await?;
    if !user_phone_numbers::hold_owner(&mut tx, &deps.keyring, user_id, number).await? {
        drop(tx);
        let message = webhook.message_sid();
        return finish(deps, message, FinalState::IgnoredUnlinked, attempt).await;
    }
    if !items.is_empty() {
        enrichment_items::insert(&mut tx, &deps.keyring, &origin(webhook, user_id), &items).await?;
    }
    inbound_messages::finish(&mut tx, sid, FinalState::Processed, Some(user_id)).await?;
    attempt.complete(&mut tx).await?;
    tx.commit().await?;
    tracing::info!(message.sid = sid, items = items.len(), "message processed");
    Ok(())
}

/// Ends a message without items.
pub(crate) async fn finish(
    deps: &Deps,
    message: &MessageSid,
    state: FinalState,
    attempt: &Attempt,
) -> Result<(), StepError> {
    let mut tx = deps.pool.begin().await?;
    inbound_messages::finish(&mut tx, message.as_str(), state, None).await?;
    attempt.complete(&mut tx).await?;
    tx.commit().await?;
    tracing::info!(message.sid = %message, ?state, "message ended without items");
    Ok(())
}

/// Ends a job whose message has ended before.
pub(crate) async fn complete_only(deps: &Deps, attempt: &Attempt) -> Result<(), StepError> {
    let mut conn = deps.pool.acquire().await?;
    Ok(attempt.complete(&mut conn).await?)
}

fn origin(webhook: &InboundWebhook, user_id: Uuid) -> Origin {
    let media_type = || {
        let first = webhook
            .media()
            .first()
            .and_then(|media| media.content_type.clone());
        first.unwrap_or_else(|| "application/octet-stream".to_owned())
    };
    Origin {
        user_id,
        message_sid: webhook.message_sid().to_string(),
        phone_number: webhook.from().as_str().to_owned(),
        original_message: Some(webhook.body().to_owned()).filter(|body| !body.is_empty()),
        source: match webhook.kind() {
            MessageKind::Sms => Source::Sms,
            MessageKind::Mms => Source::Mms {
                media_type: media_type(),
            },
        },
    }
}
