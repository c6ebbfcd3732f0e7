//! Ends a message whose job is given up: as `failed`, with one reply. Its job becomes a dead
//! letter.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use queue::{Attempt, JobId, PooledTransaction, hold_dead_letters};
use sqlx::PgConnection;
use store::{
    E164,
    inbound_messages::{self, MessageState, StoredMessage},
    sends::{self, NewReply},
};
use twilio::{InboundWebhook, MessageSid};
use uuid::Uuid;

use crate::{MessageDeps, Notice, StepError, metrics, replies::LIFE};

/// Ends the message of a job whose last attempt this is. Does nothing if the attempt has lost the
/// job, as another worker has it then.
pub(super) async fn fail(
    deps: &MessageDeps,
    sid: &MessageSid,
    reason: &'static str,
    attempt: &Attempt,
) -> Result<(), StepError> {
    let mut tx = deps.pool.begin().await?;
    attempt.hold(&mut tx).await?;
    let sids = vec![sid.to_string()];
    end(deps, tx, sids, reason, attempt.trace()).await?;
    Ok(())
}

/// Ends the messages of these dead letters. Returns how many had not ended yet. It leaves a message
/// whose dead letter has been requeued.
pub(crate) async fn fail_abandoned(
    deps: &MessageDeps,
    letters: Vec<(JobId, String)>,
) -> Result<usize, StepError> {
    let mut tx = deps.pool.begin().await?;
    let sids: Vec<String> = letters.iter().map(|(_, sid)| sid.clone()).collect();
    let open = inbound_messages::not_ended(&mut tx, &sids).await?;
    // Most messages have ended with their jobs.
    if open.is_empty() {
        return Ok(0);
    }
    let (ids, sids): (Vec<JobId>, Vec<String>) = letters
        .into_iter()
        .filter(|(_, sid)| open.contains(sid))
        .unzip();
    let held = hold_dead_letters(&mut tx, &ids).await?;
    let dead = ids
        .iter()
        .zip(sids)
        .filter(|(id, _)| held.contains(id))
        .map(|(_, sid)| sid)
        .collect();
    end(deps, tx, dead, "gave_up", None).await
}

#[tracing::instrument(name = "step.fail", level = "debug", skip_all)]
async fn end(
    deps: &MessageDeps,
    mut tx: PooledTransaction,
    sids: Vec<String>,
    reason: &'static str,
    trace: Option<&str>,
) -> Result<usize, StepError> {
    let open = inbound_messages::not_ended(&mut tx, &sids).await?;
    if open.is_empty() {
        return Ok(0);
    }
    let stored = inbound_messages::load_all(&mut tx, &deps.keyring, &open).await?;
    // A message that cannot be read ends, too, but without a reply.
    let readable: Vec<ReadableMessage> = stored
        .messages
        .into_iter()
        .filter_map(|stored| ReadableMessage::read(stored?.ok()?))
        .collect();
    let users = users(deps, &mut tx, &readable).await?;
    let messages: Vec<(String, Option<Uuid>)> = open
        .into_iter()
        .map(|sid| {
            let at = readable
                .iter()
                .position(|message| message.webhook.message_sid().as_str() == sid);
            let user = at.and_then(|at| users.get(at).copied().flatten());
            (sid, user)
        })
        .collect();
    let failed: HashSet<String> = inbound_messages::fail(&mut tx, &messages, reason)
        .await?
        .into_iter()
        .collect();
    let replies: Vec<NewReply> = readable
        .iter()
        .zip(&users)
        .filter(|(message, _)| failed.contains(message.webhook.message_sid().as_str()))
        .filter_map(|(message, user)| {
            let notice = user.map_or(Notice::NotLinked, |_| Notice::Failed);
            let reply = deps.policy.replies.reply(&message.webhook, *user, notice)?;
            Some(NewReply {
                trace: trace.map(str::to_owned),
                ..reply
            })
        })
        .collect();
    sends::enqueue_replies(&mut tx, &deps.keyring, &replies, LIFE).await?;
    tx.commit().await?;
    deps.waker.wake();
    metrics::messages_ended(MessageState::Failed, failed.len() as u64);
    for sid in &failed {
        tracing::warn!(message.sid = sid, reason, "message failed");
    }
    Ok(failed.len())
}

struct ReadableMessage {
    webhook: InboundWebhook,
    /// The number that sent it, and when at the latest. `None` if no phone sent it.
    sent: Option<(E164, DateTime<Utc>)>,
}

impl ReadableMessage {
    fn read(stored: StoredMessage) -> Option<Self> {
        let sent_by = stored.sent_by();
        let webhook = InboundWebhook::from_fields(stored.fields?).ok()?;
        let number = webhook
            .from()
            .phone()
            .and_then(|text| E164::parse(text).ok());
        let sent = number.map(|number| (number, sent_by));
        Some(Self { webhook, sent })
    }
}

/// The users who sent these messages, in the order of the list.
async fn users(
    deps: &MessageDeps,
    conn: &mut PgConnection,
    messages: &[ReadableMessage],
) -> Result<Vec<Option<Uuid>>, StepError> {
    let sent: Vec<(E164, DateTime<Utc>)> = messages
        .iter()
        .filter_map(|message| message.sent.clone())
        .collect();
    let found = inbound_messages::users_by_number(conn, &deps.keyring, &sent).await?;
    if found.len() != sent.len() {
        return Err(StepError::Mismatch);
    }
    let mut found = found.into_iter();
    let user = |message: &ReadableMessage| message.sent.as_ref().and_then(|_| found.next()?);
    Ok(messages.iter().map(user).collect())
}
