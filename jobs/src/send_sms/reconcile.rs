//! Looks for an SMS of which nobody knows whether Twilio took it, in Twilio's list of messages. It is never sent again.

use std::time::Duration;

use chrono::TimeDelta;
use store::sends::{self, Move, Send, SendState};
use twilio::{
    rest::{ListError, MessageRecord},
    status::{MessageStatus, UndeliveredReason, reason},
};

use super::{end, to};
use crate::{SendDeps, StepError};

/// Before this, Twilio's list may not have it yet.
pub(super) const FIRST_LOOK: Duration = Duration::from_secs(30);

/// When to look, counted from the request. After the last one it stays `unknown`, unless Twilio reports on it.
const LOOKS: [Duration; 3] = [FIRST_LOOK, Duration::from_mins(2), Duration::from_mins(10)];

/// Twilio's word for what was sent by a request.
const SENT_BY_US: &str = "outbound-api";

/// How far Twilio's clock may be behind the database's.
const SKEW: TimeDelta = TimeDelta::seconds(90);

/// How long until the first look at a send that was left over.
pub(super) fn first_look(send: &Send) -> Duration {
    let ago = send.posted.map_or(Duration::ZERO, |(_, ago)| ago);
    FIRST_LOOK.saturating_sub(ago).max(Duration::from_millis(1))
}

/// One look.
#[tracing::instrument(name = "step.reconcile", level = "debug", skip_all)]
pub(super) async fn reconcile(
    deps: &SendDeps,
    kind: &'static str,
    send: &Send,
) -> Result<(), StepError> {
    let (Some((posted_at, ago)), Some((number, body))) = (send.posted, &send.message) else {
        return Ok(()); // erased: too long ago
    };
    if ago < FIRST_LOOK {
        return Err(StepError::Wait(first_look(send)));
    }
    let since = posted_at - SKEW;
    let records = match deps.twilio.messages_to(number.as_str(), since).await {
        Ok(records) => records,
        Err(ListError::Account { status, reason }) => {
            super::account::pause(deps, kind, status, None, reason).await?;
            return Err(StepError::Wait(FIRST_LOOK));
        }
        Err(error) => {
            tracing::warn!(send = %send.id, %error, "Twilio's list of messages could not be read");
            return again(send, ago);
        }
    };
    let mut candidates: Vec<MessageRecord> = records
        .into_iter()
        .filter(|record| {
            record.body == *body && record.created >= since && record.direction == SENT_BY_US
        })
        .collect();
    // A resent code has the same text. Each message is one send's, the oldest first.
    candidates.sort_by_key(|record| record.created);
    let names: Vec<String> = candidates
        .iter()
        .map(|record| record.sid.to_string())
        .collect();
    let known = {
        let mut conn = deps.deps.pool.acquire().await?;
        sends::known_names(&mut conn, &names).await?
    };
    let found = candidates
        .into_iter()
        .find(|record| !known.iter().any(|name| name == record.sid.as_str()));
    match found {
        Some(record) => {
            let state = state_of(&record.status);
            let reason = record.error_code.map_or(UndeliveredReason::Unknown, reason);
            let found = Move {
                twilio_sid: Some(record.sid.as_str()),
                reason: (state > SendState::Sent && state < SendState::Delivered)
                    .then(|| reason.label()),
                error_code: record.error_code,
                ..to(state)
            };
            end(deps, send, found).await
        }
        None => again(send, ago),
    }
}

/// Another look later, or the end of looking.
fn again(send: &Send, ago: Duration) -> Result<(), StepError> {
    let next = LOOKS.iter().find_map(|look| look.checked_sub(ago));
    if let Some(wait) = next.filter(|wait| !wait.is_zero()) {
        return Err(StepError::Wait(wait));
    }
    tracing::warn!(send = %send.id, "Twilio's list does not have it: it stays unknown and is not sent again");
    Ok(())
}

/// What Twilio's word for a message means for a send.
pub fn state_of(status: &MessageStatus) -> SendState {
    match status {
        MessageStatus::Delivered | MessageStatus::Read => SendState::Delivered,
        MessageStatus::Undelivered => SendState::Undelivered,
        MessageStatus::Failed | MessageStatus::Canceled => SendState::Failed,
        MessageStatus::Accepted
        | MessageStatus::Scheduled
        | MessageStatus::Queued
        | MessageStatus::Sending
        | MessageStatus::Sent
        | MessageStatus::PartiallyDelivered
        | MessageStatus::Receiving
        | MessageStatus::Received
        | MessageStatus::Other(_) => SendState::Sent,
    }
}
