//! Looks in Twilio's list of messages for an SMS that Twilio may or may not have taken. The SMS is
//! never sent again.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use store::{
    E164,
    sends::{self, Move, Send, SendState},
};
use twilio::{
    rest::{ListError, MessageRecord},
    status::{UndeliveredReason, reason},
};

use super::{
    account,
    outcome::{to, write_outcome},
};
use crate::{SendDeps, StepError};

/// An SMS that was sent less than this ago may be missing in Twilio's list.
pub(super) const FIRST_LOOK: Duration = Duration::from_secs(30);

/// When to look, counted from the request. After the last look the send stays `unknown`, unless
/// Twilio reports its status.
const LOOKS: [Duration; 3] = [FIRST_LOOK, Duration::from_mins(2), Duration::from_mins(10)];

/// Twilio's direction of messages that were sent by an API request.
const SENT_BY_US: &str = "outbound-api";

/// How far Twilio's clock may be behind the database's clock.
const SKEW: TimeDelta = TimeDelta::seconds(90);

/// How long until the first look at this send.
pub(super) fn first_look(send: &Send) -> Duration {
    let ago = send.posted.map_or(Duration::ZERO, |(_, ago)| ago);
    FIRST_LOOK.saturating_sub(ago).max(Duration::from_millis(1))
}

/// Looks once in Twilio's list.
#[tracing::instrument(name = "step.reconcile", level = "debug", skip_all)]
pub(super) async fn reconcile(
    deps: &SendDeps,
    kind: &'static str,
    send: &Send,
) -> Result<(), StepError> {
    let (Some((posted_at, ago)), Some(message)) = (send.posted, &send.message) else {
        return Ok(()); // its text has been erased, so it is too old to look for
    };
    if ago < FIRST_LOOK {
        return Err(StepError::Wait(first_look(send)));
    }
    match find(deps, kind, message, posted_at).await {
        Ok(Some(record)) => settle(deps, send, &record).await,
        Ok(None) => again(send, ago),
        Err(StepError::List(error)) => {
            tracing::warn!(send = %send.id, %error, "Twilio's list of messages could not be read");
            again(send, ago)
        }
        Err(error) => Err(error),
    }
}

/// Finds the SMS in Twilio's list that belongs to no send of ours and was requested since then. If
/// Twilio refuses our account, the kind of job is paused, and the job waits.
pub(super) async fn find(
    deps: &SendDeps,
    kind: &'static str,
    (number, body): &(E164, String),
    since: DateTime<Utc>,
) -> Result<Option<MessageRecord>, StepError> {
    let since = since - SKEW;
    let records = match deps.twilio.messages_to(number.as_str(), since).await {
        Ok(records) => records,
        Err(ListError::Account { status, reason }) => {
            account::pause(deps, kind, status, None, reason).await?;
            return Err(StepError::Wait(FIRST_LOOK));
        }
        Err(error) => return Err(error.into()),
    };
    let mut candidates: Vec<MessageRecord> = records
        .into_iter()
        .filter(|record| {
            record.body == *body && record.created >= since && record.direction == SENT_BY_US
        })
        .collect();
    // A resent code has the same text, so several sends may match. The oldest message belongs to
    // the oldest send.
    candidates.sort_by_key(|record| record.created);
    let names: Vec<String> = candidates
        .iter()
        .map(|record| record.sid.to_string())
        .collect();
    let known = {
        let mut conn = deps.pool.acquire().await?;
        sends::known_names(&mut conn, &names).await?
    };
    let is_known = |record: &MessageRecord| known.iter().any(|name| name == record.sid.as_str());
    Ok(candidates.into_iter().find(|record| !is_known(record)))
}

/// Gives the send the state that its SMS has in Twilio's list.
pub(super) async fn settle(
    deps: &SendDeps,
    send: &Send,
    record: &MessageRecord,
) -> Result<(), StepError> {
    let state = SendState::of_twilio(&record.status);
    let reason = record.error_code.map_or(UndeliveredReason::Unknown, reason);
    let found = Move {
        twilio_sid: Some(record.sid.as_str()),
        reason: (state > SendState::Sent && state < SendState::Delivered).then(|| reason.label()),
        error_code: record.error_code,
        ..to(state)
    };
    write_outcome(&deps.pool, send, found).await
}

/// Schedules the next look, or gives up.
fn again(send: &Send, ago: Duration) -> Result<(), StepError> {
    let next = LOOKS.iter().find_map(|look| look.checked_sub(ago));
    if let Some(wait) = next.filter(|wait| !wait.is_zero()) {
        return Err(StepError::Wait(wait));
    }
    tracing::warn!(send = %send.id, "Twilio's list does not have the SMS: the send stays unknown, and the SMS is not sent again");
    Ok(())
}
