//! The end of a message: its items, its state and its job's completion, in one commit under the job's fence.
//!
//! Killed before the commit, nothing is there and the job runs again; killed after it, everything is there and the job
//! is gone. Messages that end at the same time share a commit; each ends as a whole, or not at all.

use std::{sync::Arc, time::Duration};

use queue::Attempt;
use sqlx::PgPool;
use store::{
    Keyring,
    enrichment_items::{NewItem, Origin, Source, item_id},
    inbound_messages::{FinalState, Finish, Finished, Found, MessageState, finish_all},
};
use twilio::{InboundWebhook, webhook::MessageKind};

use super::open::Owner;
use crate::{Deps, StepError, batches::Together, extract::Extraction};

/// How long a message waits for whoever is changing its user or their number. Longer than that takes.
const BUSY: Duration = Duration::from_secs(1);

/// Ends messages.
pub(crate) struct Endings {
    pub(crate) pool: PgPool,
    pub(crate) keyring: Arc<Keyring>,
}

impl Together for Endings {
    type Wish = Finish;
    type Answer = Finished;

    async fn run(&self, finishes: &[Finish]) -> Result<Vec<Finished>, StepError> {
        let mut conn = self.pool.acquire().await?;
        Ok(finish_all(&mut conn, &self.keyring, finishes).await?)
    }
}

/// Writes the items for their user and ends message and job. If the number is not the user's any more, by now, the
/// message ends without items: unlinking takes effect at once.
pub(crate) async fn write_items(
    deps: &Deps,
    webhook: &InboundWebhook,
    owner: Owner,
    extraction: Extraction,
    attempt: &Attempt,
) -> Result<(), StepError> {
    let sid = webhook.message_sid().as_str();
    let items = (0u32..)
        .zip(extraction.items)
        .map(|(position, item)| NewItem {
            id: item_id(sid, position),
            item_type: item.item_type,
            field_name: item.field_name.map(str::to_owned),
            value: item.value,
        })
        .collect();
    let found = Found {
        extracted_by: extraction.by.label().to_owned(),
        origin: origin(webhook, &owner),
        items,
    };
    let finish = Finish {
        owner: Some(owner),
        items: Some(found),
        ..ending(webhook, FinalState::Processed, attempt)
    };
    finish_with(deps, finish, attempt).await
}

/// Ends a message without items.
pub(crate) async fn finish(
    deps: &Deps,
    webhook: &InboundWebhook,
    state: FinalState,
    owner: Option<Owner>,
    attempt: &Attempt,
) -> Result<(), StepError> {
    let finish = Finish {
        owner,
        ..ending(webhook, state, attempt)
    };
    finish_with(deps, finish, attempt).await
}

/// Ends a job whose message has ended before.
pub(crate) async fn complete_only(deps: &Deps, attempt: &Attempt) -> Result<(), StepError> {
    let mut conn = deps.pool.acquire().await?;
    Ok(attempt.complete(&mut conn).await?)
}

async fn finish_with(deps: &Deps, finish: Finish, attempt: &Attempt) -> Result<(), StepError> {
    let sid = finish.message_sid.clone();
    let items = finish.items.as_ref().map_or(0, |found| found.items.len());
    match deps.endings.ask(finish).await? {
        Finished::As(MessageState::Processed) => {
            attempt.was_completed();
            tracing::info!(message.sid = sid, items, "message processed");
        }
        Finished::As(state) => {
            attempt.was_completed();
            tracing::info!(message.sid = sid, ?state, "message ended without items");
        }
        Finished::Before => attempt.was_completed(),
        Finished::Busy => return Err(StepError::Wait(BUSY)),
        Finished::LeaseLost => return Err(StepError::Complete(queue::CompleteError::LeaseLost)),
    }
    Ok(())
}

fn ending(webhook: &InboundWebhook, state: FinalState, attempt: &Attempt) -> Finish {
    let fence = attempt.fence();
    Finish {
        message_sid: webhook.message_sid().to_string(),
        job: (fence.job, fence.claim),
        state,
        owner: None,
        items: None,
        reason: None,
    }
}

fn origin(webhook: &InboundWebhook, (user_id, _): &Owner) -> Origin {
    let media_type = || {
        let first = webhook.media().first();
        let first = first.and_then(|media| media.content_type.clone());
        first.unwrap_or_else(|| "application/octet-stream".to_owned())
    };
    Origin {
        user_id: *user_id,
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
