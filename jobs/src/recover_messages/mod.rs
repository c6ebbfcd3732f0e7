//! Recovers messages that no webhook brought. Twilio tries a webhook for 15 seconds at most; after
//! that, a message is in Twilio's list of messages only.
//!
//! A look, in its steps:
//!
//! 1. [`numbers`] finds the numbers of ours whose messages come to us, and how far each was looked
//!    at;
//! 2. [`list`] reads Twilio's list from a bit before that mark, and drops what we have;
//! 3. [`alerts`] finds the failed webhooks of the missing messages, with their parameters;
//! 4. [`rebuild`] makes a message as its webhook would have brought it, from the alert or else from
//!    the list;
//! 5. [`accept`] stores such messages with their jobs, oldest first, many in one commit;
//! 6. the watermark moves on.
//!
//! What a `kill -9` leaves: whole commits of step 5. The next look lists the same messages again
//! and drops those that are stored. The watermark moves only after all of them are.
//!
//! Each message is accepted once, whoever brings it: the primary key of `inbound_messages` decides
//! between webhooks, looks, and looks of several processes.

mod accept;
mod alerts;
mod list;
mod look;
mod numbers;
mod rebuild;
mod report;

use std::time::Duration;

use queue::{Attempt, Job, JobError};
use store::{
    job_args::RecoverMessages,
    recovery::{self, Watermark},
};
use twilio::rest::ListError;

use self::{accept::accept, list::missing_messages, look::Look, numbers::watermarks};
pub use self::{
    look::LookScope,
    report::{FoundMessage, FoundState, LookReport},
};
use crate::{
    RecoveryDeps, StepError,
    metrics::{self, LookOutcome},
};

/// A look begins this long before its watermark, because a message may appear in Twilio's list
/// late.
const OVERLAP: Duration = Duration::from_hours(1);

/// After a look that has recovered messages, the next one comes this soon: there may be more.
const AGAIN: Duration = Duration::from_secs(30);

impl Job<RecoveryDeps> for RecoverMessages {
    const TIMEOUT: Duration = Duration::from_mins(15);

    async fn run(&self, deps: &RecoveryDeps, _: &Attempt) -> Result<(), JobError> {
        let looked = recover(deps, LookScope::default()).await;
        metrics::look(outcome(&looked));
        match looked?.look_again {
            Some(pause) => Err(JobError::Snooze(pause)),
            None => Ok(()),
        }
    }
}

fn outcome(looked: &Result<LookReport, StepError>) -> LookOutcome {
    match looked {
        Ok(LookReport { numbers: 0, .. }) => LookOutcome::NoNumbers,
        Ok(_) => LookOutcome::Complete,
        Err(StepError::List(error)) => match error {
            ListError::Throttled { .. } => LookOutcome::Throttled,
            ListError::Unavailable(_) => LookOutcome::Unavailable,
            ListError::Account { .. } => LookOutcome::Refused,
            ListError::Unreadable | ListError::TooLong => LookOutcome::Unreadable,
        },
        Err(_) => LookOutcome::Database,
    }
}

/// Looks for messages at Twilio that no webhook brought, and accepts them. Any number of processes
/// may do this at once.
pub async fn recover(deps: &RecoveryDeps, scope: LookScope) -> Result<LookReport, StepError> {
    let (now, watermarks) = watermarks(deps, scope.dry_run).await?;
    let mut look = Look::begin(scope, now, watermarks.len());
    for watermark in watermarks {
        if !look_at(deps, &mut look, &watermark).await? {
            look.report.look_again = Some(Duration::ZERO);
            break;
        }
    }
    let mut report = look.report;
    // Messages of the outage that ended just now were too young for this look.
    let requested = {
        let mut conn = deps.pool.acquire().await?;
        recovery::requested_at(&mut conn).await?
    };
    if requested.is_some_and(|requested| requested > look.now - deps.settle) {
        report.look_again.get_or_insert(deps.settle);
    }
    let messages = report.recovered();
    if messages > 0 {
        tracing::warn!(messages, "recovered messages that no webhook had brought");
        report.look_again.get_or_insert(AGAIN);
    }
    if report.unreadable > 0 {
        return Err(StepError::List(ListError::Unreadable));
    }
    Ok(report)
}

/// Looks for messages to one number. Returns false if the look took too long and is not complete.
#[tracing::instrument(name = "step.look", level = "debug", skip_all)]
async fn look_at(
    deps: &RecoveryDeps,
    look: &mut Look,
    watermark: &Watermark,
) -> Result<bool, StepError> {
    let settled = look.now - deps.settle;
    let mut from = match look.scope.since {
        Some(since) => look.now - since,
        None => watermark.since.max(watermark.looked_until - OVERLAP),
    };
    while from < settled {
        let found = missing_messages(deps, &watermark.number, from, settled, look.now).await?;
        look.report.listed += found.listed;
        if found.is_unsettled {
            look.report.look_again.get_or_insert(deps.settle);
        }
        if !accept(deps, look, found.missing).await? {
            return Ok(false);
        }
        from = found.until;
        // The next look must find what this one could not read.
        if look.scope.moves_watermarks() && look.report.unreadable == 0 {
            let mut conn = deps.pool.acquire().await?;
            recovery::advance(&mut conn, &deps.keyring, &watermark.number, found.until).await?;
        }
    }
    Ok(true)
}
