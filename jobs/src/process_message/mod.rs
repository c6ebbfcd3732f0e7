//! Turns one inbound message into items that its sender's user reviews.
//!
//! The steps, in the order of a message:
//!
//! 1. [`open`] reads the message, finds its user and reserves its start within the user's rate
//!    limit ([`stage`], [`rate_limit`]);
//! 2. [`download`] fetches and stores its files;
//! 3. [`extract`] finds what it says, by rules or with a model ([`find_items`] joins both steps);
//! 4. [`finish`] writes items, state and reply, and completes the job, in one commit ([`ending`]);
//! 5. [`release_files`] erases files that the operator does not keep;
//! 6. [`fail`] ends the message if its job is given up. [`without_message`] ends a job that has no
//!    message to end.

mod attachments;
pub(crate) mod download;
pub(crate) mod ending;
pub mod extract;
pub(crate) mod fail;
mod find_items;
pub(crate) mod finish;
pub(crate) mod open;
pub(crate) mod rate_limit;
mod release_files;
mod stage;
mod without_message;

use std::time::{Duration, Instant};

use queue::{Attempt, Job, JobError};
use store::{StoreError, inbound_messages::MessageState, job_args::ProcessMessage};
use tracing::Instrument;
use twilio::MessageSid;

pub(crate) use self::attachments::attachments;
use self::{fail::fail, find_items::find_items, release_files::release_files, stage::Stage};
use crate::{MessageDeps, Notice, StepError, metrics};

impl Job<MessageDeps> for ProcessMessage {
    /// Enough for ten files that are fetched one after the other, and a model.
    const TIMEOUT: Duration = Duration::from_mins(10);

    async fn run(&self, deps: &MessageDeps, attempt: &Attempt) -> Result<(), JobError> {
        let Err(error) = process(&self.message, deps, attempt).await else {
            return Ok(());
        };
        if let StepError::NoSuchMessage(_) = error {
            return Err(without_message::discard(deps, &self.message, attempt, error).await);
        }
        let reason = error.reason();
        let error = JobError::from(error);
        let given_up = match error {
            JobError::Discard(_) => true,
            JobError::Retry { .. } => attempt.is_last(),
            JobError::Snooze(_) | JobError::LeaseLost => false,
        };
        if given_up && let Err(error) = fail(deps, &self.message, reason, attempt).await {
            tracing::warn!(%error, "the message did not end with its job; reconcile_dead_messages will end it");
        }
        Err(error)
    }
}

async fn process(sid: &MessageSid, deps: &MessageDeps, attempt: &Attempt) -> Result<(), StepError> {
    match attempt_once(sid, deps, attempt).await {
        // At once, so that the message keeps its place among the user's messages.
        Err(StepError::Store(StoreError::RateLimitUsedUp)) => {
            attempt_once(sid, deps, attempt).await
        }
        ended => ended,
    }
}

async fn attempt_once(
    sid: &MessageSid,
    deps: &MessageDeps,
    attempt: &Attempt,
) -> Result<(), StepError> {
    let opening = deps.open.submit(sid.clone());
    let stage = opening
        .instrument(tracing::debug_span!("step.open"))
        .await??;
    let (opened_at, age) = (Instant::now(), stage.age());
    go_on(sid, stage, deps, attempt).await?;
    if let Some(age) = age {
        metrics::message_took(age + opened_at.elapsed());
    }
    Ok(())
}

/// Does what the message needs at this stage, until message and job have ended.
async fn go_on(
    sid: &MessageSid,
    stage: Stage,
    deps: &MessageDeps,
    attempt: &Attempt,
) -> Result<(), StepError> {
    let enrichment = deps.policy.enrichment;
    match stage {
        // An operator has requeued the job of a message that has ended.
        Stage::Ended => without_message::complete(deps, sid, attempt).await,
        Stage::Wait(time) => Err(StepError::Wait(time)),
        Stage::FromPhone(_) | Stage::Unreserved(_) => Err(StepError::Mismatch),
        Stage::Keyword(message, keyword, sender) => {
            finish::keyword(deps, &message, keyword, sender, attempt).await
        }
        Stage::UnlinkedSender(message) => {
            let ended_as = MessageState::IgnoredUnlinked;
            let notice = enrichment.then_some(Notice::NotLinked);
            finish::without_items(deps, &message, ended_as, None, notice, attempt).await
        }
        Stage::RateLimited(message, sender, wait) => {
            let ended_as = MessageState::RateLimited;
            let notice = Some(Notice::RateLimited(wait));
            finish::without_items(deps, &message, ended_as, Some(sender), notice, attempt).await
        }
        Stage::Ready(message, sender, _) if !enrichment => {
            let ended_as = MessageState::IgnoredDisabled;
            finish::without_items(deps, &message, ended_as, Some(sender), None, attempt).await
        }
        Stage::Ready(message, sender, rate_key) => {
            let (extraction, notice) = find_items(deps, &message, &sender, attempt).await?;
            let found = (extraction, notice);
            finish::with_items(deps, &message, sender, rate_key, found, attempt).await?;
            release_files(deps, &message.webhook).await;
            Ok(())
        }
    }
}
