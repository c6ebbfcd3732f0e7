//! One SMS, asked of Twilio at most once. Twilio has no idempotency key, so what is unclear stays unclear: it is looked
//! for, never sent again.
//!
//! What a `kill -9` leaves, from one line to the next:
//!
//! - before `admit` commits: a pending send, which the next attempt begins;
//! - after it: a send that says `sending`. Nobody can tell whether Twilio was asked, so the next attempt calls it
//!   `unknown` and looks for it ([`reconcile`]); Twilio's report, which carries our id, settles it at any time;
//! - after the outcome is written: a job whose send has an outcome, which ends.
//!
//! The outcome needs no fence. Whoever was admitted ([`admit`]) is the only one who asked, also when the lease has
//! been lost since, and a state only moves up.

mod account;
mod admit;
mod reconcile;
pub(crate) mod reply;
pub(crate) mod verification;

use std::time::Duration;

use store::{
    E164,
    sends::{self, Move, Send, SendState},
};
use twilio::rest::{CreateError, OutboundMessage, SendRefusal, TwilioAccountProblem};
use uuid::Uuid;

pub use self::reconcile::state_of;
use self::{
    admit::{Admitted, admit, learn_opt_out},
    reconcile::reconcile,
};
use crate::{SendDeps, StepError, metrics};

/// With less life than this left, an SMS would arrive too late to be of use; Twilio advises more than 5 s, too.
const LEAST_LIFE: Duration = Duration::from_secs(5);

/// The longest that Twilio may keep an SMS in its own queue.
const LONGEST_VALIDITY: Duration = Duration::from_mins(10);

/// Between looks at whether Twilio takes anything again.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Sends it, or finds out what became of it. `kind` is the kind of job, which is paused when our account is at fault.
pub(crate) async fn send(deps: &SendDeps, kind: &'static str, id: Uuid) -> Result<(), StepError> {
    let loaded = {
        let mut conn = deps.deps.pool.acquire().await?;
        sends::load(&mut conn, &deps.deps.keyring, id).await?
    };
    let Some(send) = loaded else {
        tracing::info!(send = %id, "its user is gone: nothing to send");
        return Ok(());
    };
    match send.state {
        SendState::Pending => match &send.message {
            Some(message) if send.life >= LEAST_LIFE => {
                match admit(deps, &send, &message.0).await? {
                    Admitted::Yes => ask(deps, kind, &send, message).await,
                    Admitted::Never => Ok(()),
                    // It was cancelled this moment, or has expired. The next look finds out which.
                    Admitted::NotNow => Err(StepError::Wait(WAIT.0)),
                }
            }
            _ => end(deps, &send, failed("expired", None)).await,
        },
        SendState::Sending => {
            let mut conn = deps.deps.pool.acquire().await?;
            sends::advance(&mut conn, id, to(SendState::Unknown)).await?;
            tracing::warn!(send = %id, "an attempt ended before Twilio's answer was written: looking for it");
            Err(StepError::Wait(reconcile::first_look(&send)))
        }
        SendState::Unknown => reconcile(deps, kind, &send).await,
        SendState::Sent | SendState::Undelivered | SendState::Failed | SendState::Delivered => {
            Ok(())
        }
    }
}

/// The one request.
async fn ask(
    deps: &SendDeps,
    kind: &'static str,
    send: &Send,
    (number, body): &(E164, String),
) -> Result<(), StepError> {
    let message = OutboundMessage {
        to: number.as_str(),
        from: &deps.sender,
        body,
        status_callback: Some(&deps.callback_for(send.id)),
        // Whole seconds, rounded down: a code is never delivered after it has expired.
        validity: Duration::from_secs(send.life.min(LONGEST_VALIDITY).as_secs()),
    };
    match deps.twilio.create_message(&message).await {
        Ok(created) => {
            let taken = Move {
                twilio_sid: Some(created.sid.as_str()),
                ..to(SendState::Sent)
            };
            end(deps, send, taken).await
        }
        Err(CreateError::Unclear(why)) => {
            let mut conn = deps.deps.pool.acquire().await?;
            sends::advance(&mut conn, send.id, to(SendState::Unknown)).await?;
            tracing::warn!(send = %send.id, why = why.label(), "whether Twilio took it is not clear: it is looked for, not sent again");
            Err(StepError::Wait(reconcile::FIRST_LOOK))
        }
        Err(CreateError::NotProcessed { retry_after, why }) => {
            give_back(deps, send.id).await?;
            let wait = retry_after.unwrap_or(send.age / 4);
            tracing::info!(send = %send.id, why = why.label(), "Twilio did not take it: it waits");
            Err(StepError::Wait(wait.clamp(WAIT.0, WAIT.1)))
        }
        Err(CreateError::Refused { code, reason, .. }) => {
            if reason == SendRefusal::OptedOut {
                learn_opt_out(deps, send).await?;
            }
            end(deps, send, failed(reason.label(), code)).await
        }
        // A trial account sends to some numbers and not to others: that is no reason to hold up all.
        Err(CreateError::Account {
            code,
            reason: TwilioAccountProblem::Trial,
            ..
        }) => end(deps, send, failed("account", code)).await,
        Err(CreateError::Account {
            status,
            code,
            reason,
        }) => {
            give_back(deps, send.id).await?;
            account::pause(deps, kind, status, code, reason).await?;
            Err(StepError::Wait(WAIT.1))
        }
    }
}

/// Writes how it went.
async fn end(deps: &SendDeps, send: &Send, how: Move<'_>) -> Result<(), StepError> {
    let mut conn = deps.deps.pool.acquire().await?;
    let moved = sends::advance(&mut conn, send.id, how).await?;
    if moved {
        metrics::send_moved(send.purpose(), how.state);
    }
    tracing::info!(send = %send.id, state = ?how.state, reason = how.reason, code = how.error_code, moved, "SMS");
    Ok(())
}

/// Twilio certainly did nothing: it may be asked again.
async fn give_back(deps: &SendDeps, id: Uuid) -> Result<(), StepError> {
    let mut conn = deps.deps.pool.acquire().await?;
    sends::give_back(&mut conn, id).await?;
    Ok(())
}

fn to(state: SendState) -> Move<'static> {
    Move {
        state,
        twilio_sid: None,
        reason: None,
        error_code: None,
    }
}

fn failed(reason: &'static str, error_code: Option<u32>) -> Move<'static> {
    Move {
        reason: Some(reason),
        error_code,
        ..to(SendState::Failed)
    }
}
