//! Decides whether an SMS may be sent, right before Twilio is asked. One short transaction checks
//! the limits and marks the send as `sending`, so the limits hold over all processes.

use std::time::Duration;

use store::{
    E164,
    limit_log::{self, Limit},
    opt_outs,
    sends::{self, ReplyKind, Send, SendState},
};

use super::outcome::failed;
use crate::{SendDeps, StepError};

/// How many replies a number gets within this time at most. This ends a loop of two machines that
/// answer each other.
const REPLIES: (u32, Duration) = (5, Duration::from_mins(5));

/// How many replies about the same problem a user gets within this time at most.
const SAME_PROBLEM: (u32, Duration) = (1, Duration::from_hours(1));

/// Whether Twilio may be asked to send an SMS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SendAdmission {
    /// This attempt, and no other, may ask once.
    Admitted,
    /// The send has ended as `failed`.
    Refused,
    /// The send is not pending any more, or it has expired.
    NotPending,
}

/// Moves the send from `pending` to `sending`, unless its recipient has opted out or a limit is
/// exceeded.
#[tracing::instrument(name = "step.admit", level = "debug", skip_all)]
pub(super) async fn admit(
    deps: &SendDeps,
    send: &Send,
    to: &E164,
) -> Result<SendAdmission, StepError> {
    let (mut tx, keyring) = (deps.pool.begin().await?, &deps.keyring);
    let limits = limits(send, to);
    // A send that was admitted before, and that Twilio did not take, is already counted.
    let counts = !limits.is_empty() && !send.started;
    let refusal = if opt_outs::is_opted_out(&mut tx, keyring, to.as_str()).await? {
        Some("opted_out")
    } else if counts {
        limit_log::lock_keys(&mut tx, keyring, &limits).await?;
        let exceeded = limit_log::exceeded(&mut tx, keyring, &limits).await?;
        exceeded.map(|_| "suppressed")
    } else {
        None
    };
    if let Some(reason) = refusal {
        let moved = sends::advance(&mut tx, send.id, failed(reason, None)).await?;
        tx.commit().await?;
        if moved {
            sends::send_moved(send.purpose(), SendState::Failed);
            tracing::info!(send = %send.id, reason, "SMS not sent");
        }
        return Ok(SendAdmission::Refused);
    }
    if !sends::start(&mut tx, send.id).await? {
        return Ok(SendAdmission::NotPending);
    }
    if counts {
        limit_log::record(&mut tx, keyring, &limits).await?;
    }
    tx.commit().await?;
    Ok(SendAdmission::Admitted)
}

/// The limits of a reply. The limits of a verification SMS were checked when it was requested.
fn limits(send: &Send, to: &E164) -> Vec<Limit> {
    let Some(kind) = send.reply else {
        return Vec::new();
    };
    let limit = |key: String, (most, window)| Limit { key, most, window };
    let mut limits = vec![limit(format!("reply:number:{}", to.as_str()), REPLIES)];
    if kind != ReplyKind::Processed {
        let recipient = send.user_id.map_or_else(
            || format!("number:{}", to.as_str()),
            |user| format!("user:{user}"),
        );
        let key = format!("reply:{}:{recipient}", kind.as_str());
        limits.push(limit(key, SAME_PROBLEM));
    }
    limits
}

/// Records that the recipient has opted out, which Twilio's refusal says.
pub(super) async fn learn_opt_out(deps: &SendDeps, send: &Send) -> Result<(), StepError> {
    let mut conn = deps.pool.acquire().await?;
    Ok(opt_outs::record_twilio_refusal(&mut conn, send.id).await?)
}
