//! Ends one message, together with others that end at the same time: see [`super::ending`].
//!
//! One transaction writes the message's items and state and completes its job, under the job's
//! fence. Killed before the commit, a worker leaves nothing, and the job runs again. Killed after
//! it, everything is written and the job is gone.

use std::time::Duration;

use queue::{Attempt, CompleteError};
use store::{
    enrichment_items::{NewItem, Origin, Source, item_id},
    inbound_messages::{EndOutcome, MessageEnd, MessageItems, MessageSender, MessageState},
    opt_outs::OptOutChange,
};
use twilio::{InboundWebhook, Keyword, webhook::MessageKind};
use uuid::Uuid;

use super::{
    ending::MessageEnding,
    extract::Extraction,
    stage::{OpenMessage, SenderUser},
};
use crate::{MessageDeps, Notice, StepError, metrics};

/// How long a job waits while another transaction changes its message's user or their number, and
/// before it looks for its message's user again. Such a transaction takes less time.
const USER_LOCKED: Duration = Duration::from_secs(1);

/// Writes the items for their user, and ends message and job. If the number has been unlinked
/// meanwhile, the message ends without items: unlinking takes effect at once.
pub(super) async fn with_items(
    deps: &MessageDeps,
    message: &OpenMessage,
    sender: SenderUser,
    rate_key: Option<String>,
    (extraction, notice): (Extraction, Notice),
    attempt: &Attempt,
) -> Result<(), StepError> {
    let webhook = &message.webhook;
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
    let found = MessageItems {
        extracted_by: extraction.by.label().to_owned(),
        origin: origin(webhook, sender.user_id),
        items,
    };
    let end = MessageEnd {
        sender: MessageSender::User(sender.user_id, sender.number),
        items: Some(found),
        rate_key,
        ..plain(webhook, MessageState::Processed, attempt)
    };
    let ending = with_reply(deps, webhook, end, Some(notice), attempt);
    finish_with(deps, ending, attempt).await
}

/// Ends a message without items, and replies if there is a notice.
pub(super) async fn without_items(
    deps: &MessageDeps,
    message: &OpenMessage,
    state: MessageState,
    sender: Option<SenderUser>,
    notice: Option<Notice>,
    attempt: &Attempt,
) -> Result<(), StepError> {
    let webhook = &message.webhook;
    let end = MessageEnd {
        sender: sender_of(message, sender),
        ..plain(webhook, state, attempt)
    };
    let ending = with_reply(deps, webhook, end, notice, attempt);
    finish_with(deps, ending, attempt).await
}

/// Ends a message that is a keyword, and records or ends its sender's opt-out. Twilio replies to
/// keywords, we do not.
pub(super) async fn keyword(
    deps: &MessageDeps,
    message: &OpenMessage,
    keyword: Keyword,
    sender: Option<SenderUser>,
    attempt: &Attempt,
) -> Result<(), StepError> {
    let webhook = &message.webhook;
    let (state, opted_out) = match keyword {
        Keyword::Stop => (MessageState::KeywordStop, Some(true)),
        Keyword::Start => (MessageState::KeywordStart, Some(false)),
        Keyword::Help => (MessageState::KeywordHelp, None),
    };
    let ending = MessageEnding {
        end: MessageEnd {
            sender: sender_of(message, sender),
            ..plain(webhook, state, attempt)
        },
        reply: None,
        reply_if_unlinked: None,
        trace: None,
        opt_out: opted_out.map(|opted_out| OptOutChange {
            address: webhook.from().as_str().to_owned(),
            opted_out,
            // Within a second that Twilio's list does not divide, STOP counts as the later wish.
            at: if opted_out {
                message.sent_by()
            } else {
                message.sent_from()
            },
        }),
    };
    finish_with(deps, ending, attempt).await
}

fn with_reply(
    deps: &MessageDeps,
    webhook: &InboundWebhook,
    end: MessageEnd,
    notice: Option<Notice>,
    attempt: &Attempt,
) -> MessageEnding {
    let replies = &deps.policy.replies;
    let user = match &end.sender {
        MessageSender::User(user, _) => Some(*user),
        MessageSender::Unlinked(..) | MessageSender::NoNumber => None,
    };
    MessageEnding {
        reply: notice.and_then(|notice| replies.reply(webhook, user, notice)),
        reply_if_unlinked: notice.and_then(|_| replies.reply(webhook, None, Notice::NotLinked)),
        opt_out: None,
        trace: attempt.trace().map(str::to_owned),
        end,
    }
}

#[tracing::instrument(name = "step.finish", level = "debug", skip_all)]
async fn finish_with(
    deps: &MessageDeps,
    ending: MessageEnding,
    attempt: &Attempt,
) -> Result<(), StepError> {
    let sid = ending.end.message_sid.clone();
    let found = ending.end.items.as_ref();
    let items = found.map_or(0, |found| found.items.len());
    let finished = attempt.completed_by(deps.finish.submit(ending), |finished| {
        matches!(finished, Ok(EndOutcome::Ended(_) | EndOutcome::EndedBefore))
    });
    match finished.await? {
        EndOutcome::Ended(MessageState::Processed) => {
            metrics::messages_ended(MessageState::Processed, 1);
            tracing::debug!(message.sid = sid, items, "message processed");
        }
        EndOutcome::Ended(state) => {
            metrics::messages_ended(state, 1);
            tracing::info!(message.sid = sid, ?state, "message ended without items");
        }
        EndOutcome::EndedBefore => {}
        EndOutcome::Busy => return Err(StepError::Wait(USER_LOCKED)),
        EndOutcome::LeaseLost => return Err(StepError::Complete(CompleteError::LeaseLost)),
    }
    Ok(())
}

fn plain(webhook: &InboundWebhook, state: MessageState, attempt: &Attempt) -> MessageEnd {
    MessageEnd {
        message_sid: webhook.message_sid().to_string(),
        fence: attempt.fence(),
        state,
        sender: MessageSender::NoNumber,
        items: None,
        rate_key: None,
        reason: None,
    }
}

/// Who sent the message. If no user was found, the statement that ends the message confirms it.
fn sender_of(message: &OpenMessage, user: Option<SenderUser>) -> MessageSender {
    match (user, message.number()) {
        (Some(user), _) => MessageSender::User(user.user_id, user.number),
        (None, Some(number)) => MessageSender::Unlinked(number, message.sent_by()),
        (None, None) => MessageSender::NoNumber,
    }
}

/// Where the items of this message come from.
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
