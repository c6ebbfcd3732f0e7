//! May this SMS go out? Asked right before Twilio is, in one short transaction with the word that it goes: whatever
//! comes in, and over all processes, no number gets more replies than this.

use std::time::Duration;

use store::{
    E164,
    limit_log::{self, Limit},
    opt_outs,
    sends::{self, ReplyKind, Send, SendState},
};

use super::failed;
use crate::{SendDeps, StepError, metrics};

/// The most replies to a number within this time: two machines that answer each other soon fall silent.
const REPLIES: (u32, Duration) = (5, Duration::from_mins(5));

/// How often somebody is told of the same problem.
const SAME_PROBLEM: (u32, Duration) = (1, Duration::from_hours(1));

/// Whether Twilio may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admitted {
    /// Yes, once, and by nobody else.
    Yes,
    /// No: it has ended as `failed`.
    Never,
    /// Somebody else has it, or its life is over.
    NotNow,
}

/// Moves the send from pending to sending, unless its recipient wants none or has had enough.
#[tracing::instrument(name = "step.admit", level = "debug", skip_all)]
pub(super) async fn admit(deps: &SendDeps, send: &Send, to: &E164) -> Result<Admitted, StepError> {
    let (mut tx, keyring) = (deps.deps.pool.begin().await?, &deps.deps.keyring);
    let limits = limits(send, to);
    // One that Twilio would not take the last time has passed its limits, and counts in them.
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
            metrics::send_moved(send.purpose(), SendState::Failed);
            tracing::info!(send = %send.id, reason, "SMS not sent");
        }
        return Ok(Admitted::Never);
    }
    if !sends::start(&mut tx, send.id).await? {
        return Ok(Admitted::NotNow);
    }
    if counts {
        limit_log::record(&mut tx, keyring, &limits).await?;
    }
    tx.commit().await?;
    Ok(Admitted::Yes)
}

/// What bounds a reply. What bounds a verification SMS was asked when it was wished for.
fn limits(send: &Send, to: &E164) -> Vec<Limit> {
    let Some(kind) = send.reply else {
        return Vec::new();
    };
    let limit = |key: String, (most, window)| Limit { key, most, window };
    let mut limits = vec![limit(format!("reply:number:{}", to.as_str()), REPLIES)];
    if kind != ReplyKind::Processed {
        let whom = send.user_id.map_or_else(
            || format!("number:{}", to.as_str()),
            |user| format!("user:{user}"),
        );
        let key = format!("reply:{}:{whom}", kind.as_str());
        limits.push(limit(key, SAME_PROBLEM));
    }
    limits
}

/// What a refusal by Twilio teaches us about the recipient.
pub(super) async fn learn_opt_out(deps: &SendDeps, send: &Send) -> Result<(), StepError> {
    let mut conn = deps.deps.pool.acquire().await?;
    Ok(opt_outs::learn(&mut conn, send.id).await?)
}
