//! What a message ends with when its job is given up: its user is told, once, and its job stays a dead letter.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use queue::Attempt;
use sqlx::PgConnection;
use store::{
    E164,
    inbound_messages::{self, MessageState, StoredMessage},
    sends::NewReply,
};
use twilio::{InboundWebhook, MessageSid};
use uuid::Uuid;

use super::finish::reply_all;
use crate::{Deps, Notice, StepError, metrics};

/// Ends the message of a job whose last attempt this is. Not if the attempt has lost the job: somebody else is at it.
pub(crate) async fn fail(
    deps: &Deps,
    sid: &MessageSid,
    reason: &'static str,
    notice: Notice,
    attempt: &Attempt,
) -> Result<(), StepError> {
    end(deps, vec![sid.to_string()], reason, notice, Some(attempt)).await?;
    Ok(())
}

/// Ends messages that are still waiting for jobs which have been given up; answers how many.
pub(crate) async fn fail_abandoned(deps: &Deps, sids: Vec<String>) -> Result<usize, StepError> {
    end(deps, sids, "gave_up", Notice::Failed, None).await
}

#[tracing::instrument(name = "step.fail", level = "debug", skip_all)]
async fn end(
    deps: &Deps,
    sids: Vec<String>,
    reason: &'static str,
    notice: Notice,
    attempt: Option<&Attempt>,
) -> Result<usize, StepError> {
    let mut tx = deps.pool.begin().await?;
    if let Some(attempt) = attempt {
        attempt.hold(&mut tx).await?;
    }
    let waiting = inbound_messages::not_ended(&mut tx, &sids).await?;
    if waiting.is_empty() {
        return Ok(0);
    }
    let stored = inbound_messages::load_all(&mut tx, &deps.keyring, &waiting).await?;
    // One that does not open is ended, too, and nobody can be told.
    let readable: Vec<(InboundWebhook, Option<Sent>)> = stored
        .into_iter()
        .filter_map(|stored| read(stored?.ok()?))
        .collect();
    let owners = owners(deps, &mut tx, &readable).await?;
    let messages: Vec<(String, Option<Uuid>)> = waiting
        .into_iter()
        .map(|sid| {
            let place = readable
                .iter()
                .position(|(w, _)| w.message_sid().as_str() == sid);
            let owner = place.and_then(|place| owners.get(place).copied().flatten());
            (sid, owner)
        })
        .collect();
    let failed: HashSet<String> = inbound_messages::fail(&mut tx, &messages, reason)
        .await?
        .into_iter()
        .collect();
    let replies: Vec<NewReply> = readable
        .iter()
        .zip(&owners)
        .filter(|((webhook, _), _)| failed.contains(webhook.message_sid().as_str()))
        .filter_map(|((webhook, _), owner)| {
            let notice = owner.map_or(Notice::NotLinked, |_| notice);
            deps.policy.replies.reply(webhook, *owner, notice)
        })
        .collect();
    let trace = attempt.and_then(|attempt| attempt.trace().map(str::to_owned));
    let traces = vec![trace; replies.len()];
    reply_all(&mut tx, &deps.keyring, &replies, traces).await?;
    tx.commit().await?;
    deps.waker.wake();
    metrics::messages_ended(MessageState::Failed, failed.len() as u64);
    for sid in &failed {
        tracing::warn!(message.sid = sid, reason, "message failed");
    }
    Ok(failed.len())
}

/// From which number, and when.
type Sent = (E164, DateTime<Utc>);

fn read(stored: StoredMessage) -> Option<(InboundWebhook, Option<Sent>)> {
    let webhook = InboundWebhook::from_fields(stored.fields?).ok()?;
    let number = webhook
        .from()
        .phone()
        .and_then(|text| E164::parse(text).ok());
    let sent = number.map(|number| (number, stored.received_at));
    Some((webhook, sent))
}

/// Whose the messages are, in their order.
async fn owners(
    deps: &Deps,
    conn: &mut PgConnection,
    messages: &[(InboundWebhook, Option<Sent>)],
) -> Result<Vec<Option<Uuid>>, StepError> {
    let sent: Vec<Sent> = messages
        .iter()
        .filter_map(|(_, sent)| sent.clone())
        .collect();
    let senders = inbound_messages::senders(conn, &deps.keyring, &sent).await?;
    let mut senders = senders.into_iter();
    let of = |(_, sent): &(_, Option<Sent>)| sent.as_ref().and_then(|_| senders.next().flatten());
    Ok(messages.iter().map(of).collect())
}
