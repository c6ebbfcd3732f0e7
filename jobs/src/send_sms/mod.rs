//! Sends one SMS. Twilio is asked to send it at most once: Twilio has no idempotency key, so after
//! an unclear answer we look for the SMS in Twilio's list and never ask again.
//!
//! What a `kill -9` leaves:
//!
//! - before [`admit`] commits: a pending send. The next attempt starts it;
//! - after it: a send in state `sending`. It is not known whether Twilio was asked, so the next
//!   attempt sets it to `unknown` and looks for it ([`reconcile`]). Twilio's status callback
//!   carries our id and settles it at any time;
//! - after the outcome is written: a job whose send has its outcome. The next attempt ends the job.
//!
//! What a failover that takes back commits leaves: see [`lost_row`].
//!
//! Writing the outcome needs no fence. Only the attempt that [`admit`] let through asks Twilio,
//! even if its lease has been lost since, and a send's state only moves up.

mod account;
mod admit;
mod lost_row;
mod outcome;
mod reconcile;
mod reply;
mod verification;

use std::time::Duration;

use queue::Attempt;
use store::{
    E164,
    sends::{self, Move, Send, SendState},
};
use twilio::rest::{CreateError, OutboundMessage, SendRefusal, TwilioAccountProblem};
use uuid::Uuid;

use self::{
    admit::{SendAdmission, admit, learn_opt_out},
    outcome::{failed, to, write_outcome},
    reconcile::reconcile,
};
use crate::{SendDeps, StepError, confirmed_end::end_confirmed};

/// An SMS that expires sooner than this is not sent: it would arrive too late. Twilio also advises
/// more than 5 s.
const LEAST_LIFE: Duration = Duration::from_secs(5);

/// How long Twilio may keep an SMS in its own queue at most.
const LONGEST_VALIDITY: Duration = Duration::from_mins(10);

/// The shortest and the longest wait after Twilio did not process a request.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Sends the SMS, or finds out what became of it, and ends the job in the statement that confirms
/// that nothing is left to do. `kind` is the kind of job, which is paused when Twilio refuses our
/// account.
pub(crate) async fn send(
    deps: &SendDeps,
    kind: &'static str,
    id: Uuid,
    attempt: &Attempt,
) -> Result<(), StepError> {
    advance(deps, kind, id).await?;
    let complete = async {
        let mut conn = deps.pool.acquire().await?;
        let completed = sends::complete_job(&mut conn, attempt.fence(), id).await?;
        conn.put_back();
        Ok(completed)
    };
    end_confirmed(attempt, complete).await
}

/// Does what the send needs in its state. `Ok`: nothing is left to do.
async fn advance(deps: &SendDeps, kind: &'static str, id: Uuid) -> Result<(), StepError> {
    let loaded = {
        let mut conn = deps.pool.acquire().await?;
        sends::load(&mut conn, &deps.keyring, id).await?
    };
    let Some(send) = loaded else {
        tracing::info!(send = %id, "the send was deleted with its user: nothing to send");
        return Ok(());
    };
    match send.state {
        SendState::Pending => match &send.message {
            Some(message) if send.life >= LEAST_LIFE => {
                if let Some(earlier) = lost_row::find_earlier(deps, kind, &send).await? {
                    tracing::warn!(send = %id, "the reply was sent before, and the database had lost it");
                    return reconcile::settle(deps, &send, &earlier).await;
                }
                match admit(deps, &send, &message.0).await? {
                    SendAdmission::Admitted => ask(deps, kind, &send, message).await,
                    SendAdmission::Refused => Ok(()),
                    // It was cancelled or expired just now. The next attempt sees which.
                    SendAdmission::NotPending => Err(StepError::Wait(WAIT.0)),
                }
            }
            _ => write_outcome(&deps.pool, &send, failed("expired", None)).await,
        },
        SendState::Sending => {
            let mut conn = deps.pool.acquire().await?;
            sends::advance(&mut conn, id, to(SendState::Unknown)).await?;
            tracing::warn!(send = %id, "an attempt ended before it wrote Twilio's answer: looking for the SMS in Twilio's list");
            Err(StepError::Wait(reconcile::first_look(&send)))
        }
        SendState::Unknown => reconcile(deps, kind, &send).await,
        SendState::Sent | SendState::Undelivered | SendState::Failed | SendState::Delivered => {
            Ok(())
        }
    }
}

/// Asks Twilio to send the SMS.
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
        // Whole seconds, rounded down, so that no code is delivered after it has expired.
        validity: Duration::from_secs(send.life.min(LONGEST_VALIDITY).as_secs()),
    };
    match deps.twilio.create_message(&message).await {
        Ok(created) => {
            let accepted = Move {
                twilio_sid: Some(created.sid.as_str()),
                ..to(SendState::Sent)
            };
            write_outcome(&deps.pool, send, accepted).await
        }
        Err(CreateError::Unclear(why)) => {
            let mut conn = deps.pool.acquire().await?;
            sends::advance(&mut conn, send.id, to(SendState::Unknown)).await?;
            tracing::warn!(send = %send.id, why = why.label(), "it is not clear whether Twilio took the SMS: we look for it and do not send it again");
            Err(StepError::Wait(reconcile::FIRST_LOOK))
        }
        Err(CreateError::NotProcessed { retry_after, why }) => {
            give_back(deps, send.id).await?;
            let wait = retry_after.unwrap_or(send.age / 4);
            tracing::info!(send = %send.id, why = why.label(), "Twilio did not take the SMS: it waits");
            Err(StepError::Wait(wait.clamp(WAIT.0, WAIT.1)))
        }
        Err(CreateError::Refused { code, reason, .. }) => {
            if reason == SendRefusal::OptedOut {
                learn_opt_out(deps, send).await?;
            }
            write_outcome(&deps.pool, send, failed(reason.label(), code)).await
        }
        // A trial account can send to some numbers only. The SMS to those should not wait.
        Err(CreateError::Account {
            code,
            reason: TwilioAccountProblem::Trial,
            ..
        }) => write_outcome(&deps.pool, send, failed("account", code)).await,
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

/// Sets the send back to pending, as Twilio certainly did nothing. The next attempt asks again.
async fn give_back(deps: &SendDeps, id: Uuid) -> Result<(), StepError> {
    let mut conn = deps.pool.acquire().await?;
    sends::give_back(&mut conn, id).await?;
    Ok(())
}
