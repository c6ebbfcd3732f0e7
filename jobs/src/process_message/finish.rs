//! The end of a message: its items, its state and its job's completion, in one commit under the job's fence.
//!
//! Killed before the commit, nothing is there and the job runs again; killed after it, everything is there and the job
//! is gone. Messages that end at the same time share a commit; each ends as a whole, or not at all.

use std::{borrow::Borrow, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use queue::{Attempt, EnqueueError, NewJob, Waker, enqueue_all};
use sqlx::{Connection, PgConnection, PgPool};
use store::{
    Keyring,
    enrichment_items::{NewItem, Origin, Source, item_id},
    inbound_messages::{FinalState, Finish, Finished, Found, MessageState, finish_all},
    job_args::SendReply,
    opt_outs::{self, Wish},
    sends::{self, NewReply},
};
use twilio::{InboundWebhook, Keyword, webhook::MessageKind};
use uuid::Uuid;

use super::open::Owner;
use crate::{
    Deps, Notice, StepError, batches::Together, extract::Extraction, metrics, replies::LIFE,
};

/// How long a message waits for whoever is changing its user or their number. Longer than that takes.
const BUSY: Duration = Duration::from_secs(1);

/// How a message is to end, and what goes with it.
pub(crate) struct Ending {
    finish: Finish,
    /// What is replied.
    reply: Option<NewReply>,
    /// What is replied instead if it turns out to be nobody's, by now.
    reply_to_nobody: Option<NewReply>,
    /// What its sender wants from now on.
    wish: Option<Wish>,
    /// The trace context that the reply goes on with.
    trace: Option<String>,
}

impl Borrow<Finish> for Ending {
    fn borrow(&self) -> &Finish {
        &self.finish
    }
}

impl Ending {
    fn is_plain(&self) -> bool {
        self.reply.is_none() && self.reply_to_nobody.is_none() && self.wish.is_none()
    }

    /// The reply that fits how it has ended.
    fn reply(&self, finished: Finished) -> Option<NewReply> {
        let intended = MessageState::from(self.finish.state);
        match finished {
            Finished::As(state) if state == intended => self.reply.clone(),
            Finished::As(_) => self.reply_to_nobody.clone(),
            Finished::Before | Finished::LeaseLost | Finished::Busy => None,
        }
    }
}

/// Ends messages.
pub(crate) struct Endings {
    pub(crate) pool: PgPool,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) waker: Waker,
}

impl Together for Endings {
    type Wish = Ending;
    type Answer = Finished;

    async fn run(&self, endings: &[Ending]) -> Result<Vec<Finished>, StepError> {
        let mut conn = self.pool.acquire().await?;
        if endings.iter().all(Ending::is_plain) {
            return Ok(finish_all(&mut conn, &self.keyring, endings).await?);
        }
        let mut tx = conn.begin().await?;
        let finished = finish_all(&mut tx, &self.keyring, endings).await?;
        let ended = || endings.iter().zip(finished.iter().copied());
        let wishes: Vec<Wish> = ended()
            .filter(|(_, finished)| matches!(finished, Finished::As(_)))
            .filter_map(|(ending, _)| ending.wish.clone())
            .collect();
        if !wishes.is_empty() {
            opt_outs::record(&mut tx, &self.keyring, &wishes).await?;
        }
        let (replies, traces): (Vec<NewReply>, Vec<_>) = ended()
            .filter_map(|(ending, finished)| Some((ending.reply(finished)?, ending.trace.clone())))
            .unzip();
        reply_all(&mut tx, &self.keyring, &replies, traces).await?;
        tx.commit().await?;
        if !replies.is_empty() {
            self.waker.wake();
        }
        Ok(finished)
    }
}

/// Stores replies and enqueues their jobs, in the transaction that ends their messages. Each goes on with its trace.
pub(super) async fn reply_all(
    conn: &mut PgConnection,
    keyring: &Keyring,
    replies: &[NewReply],
    traces: Vec<Option<String>>,
) -> Result<(), StepError> {
    if replies.is_empty() {
        return Ok(());
    }
    let sends = sends::insert_replies(conn, keyring, replies, LIFE).await?;
    let jobs: Result<Vec<NewJob>, EnqueueError> = sends
        .into_iter()
        .zip(traces)
        .map(|(send, trace)| Ok(NewJob::of(&SendReply { send })?.trace(trace)))
        .collect();
    enqueue_all(conn, &jobs?).await?;
    Ok(())
}

/// Writes the items for their user and ends message and job. If the number is not the user's any more, by now, the
/// message ends without items: unlinking takes effect at once.
pub(crate) async fn write_items(
    deps: &Deps,
    webhook: &InboundWebhook,
    owner: Owner,
    (extraction, notice): (Extraction, Notice),
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
        origin: origin(webhook, owner.0),
        items,
    };
    let finish = Finish {
        owner: Some(owner),
        items: Some(found),
        ..plain(webhook, FinalState::Processed, attempt)
    };
    let ending = replied(deps, webhook, finish, Some(notice), attempt);
    finish_with(deps, ending, attempt).await
}

/// Ends a message without items, and tells its sender.
pub(crate) async fn finish(
    deps: &Deps,
    webhook: &InboundWebhook,
    state: FinalState,
    owner: Option<Owner>,
    notice: Option<Notice>,
    attempt: &Attempt,
) -> Result<(), StepError> {
    let finish = Finish {
        owner,
        ..plain(webhook, state, attempt)
    };
    finish_with(
        deps,
        replied(deps, webhook, finish, notice, attempt),
        attempt,
    )
    .await
}

/// Ends a message that is a keyword, and does what it says. Twilio answers it.
pub(crate) async fn finish_keyword(
    deps: &Deps,
    webhook: &InboundWebhook,
    (keyword, received_at): (Keyword, DateTime<Utc>),
    owner: Option<Owner>,
    attempt: &Attempt,
) -> Result<(), StepError> {
    let (state, opted_out) = match keyword {
        Keyword::Stop => (FinalState::KeywordStop, Some(true)),
        Keyword::Start => (FinalState::KeywordStart, Some(false)),
        Keyword::Help => (FinalState::KeywordHelp, None),
    };
    let ending = Ending {
        finish: Finish {
            owner,
            ..plain(webhook, state, attempt)
        },
        reply: None,
        reply_to_nobody: None,
        trace: None,
        wish: opted_out.map(|opted_out| Wish {
            address: webhook.from().as_str().to_owned(),
            opted_out,
            at: received_at,
        }),
    };
    finish_with(deps, ending, attempt).await
}

/// An end with its reply, if it gets one.
fn replied(
    deps: &Deps,
    webhook: &InboundWebhook,
    finish: Finish,
    notice: Option<Notice>,
    attempt: &Attempt,
) -> Ending {
    let replies = &deps.policy.replies;
    let user = finish.owner.as_ref().map(|(user, _)| *user);
    Ending {
        reply: notice.and_then(|notice| replies.reply(webhook, user, notice)),
        reply_to_nobody: notice.and_then(|_| replies.reply(webhook, None, Notice::NotLinked)),
        wish: None,
        trace: attempt.trace().map(str::to_owned),
        finish,
    }
}

/// Ends a job whose message has ended before.
pub(crate) async fn complete_only(deps: &Deps, attempt: &Attempt) -> Result<(), StepError> {
    let mut conn = deps.pool.acquire().await?;
    Ok(attempt.complete(&mut conn).await?)
}

#[tracing::instrument(name = "step.finish", level = "debug", skip_all)]
async fn finish_with(deps: &Deps, ending: Ending, attempt: &Attempt) -> Result<(), StepError> {
    let sid = ending.finish.message_sid.clone();
    let items = ending
        .finish
        .items
        .as_ref()
        .map_or(0, |found| found.items.len());
    let ended = attempt.completed_by(deps.endings.ask(ending), |ended| {
        matches!(ended, Ok(Finished::As(_) | Finished::Before))
    });
    match ended.await? {
        Finished::As(MessageState::Processed) => {
            metrics::messages_ended(MessageState::Processed, 1);
            tracing::info!(message.sid = sid, items, "message processed");
        }
        Finished::As(state) => {
            metrics::messages_ended(state, 1);
            tracing::info!(message.sid = sid, ?state, "message ended without items");
        }
        Finished::Before => {}
        Finished::Busy => return Err(StepError::Wait(BUSY)),
        Finished::LeaseLost => return Err(StepError::Complete(queue::CompleteError::LeaseLost)),
    }
    Ok(())
}

fn plain(webhook: &InboundWebhook, state: FinalState, attempt: &Attempt) -> Finish {
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

pub(crate) fn origin(webhook: &InboundWebhook, user_id: Uuid) -> Origin {
    let media_type = || {
        let first = webhook.media().first();
        let first = first.and_then(|media| media.content_type.clone());
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
