//! Turns one inbound message into the items its sender's user will review.

mod attachments;
pub(crate) mod download;
pub mod extract;
mod fail;
mod find_items;
mod finish;
mod open;
mod rate_limit;
mod release_files;

use std::time::{Duration, Instant};

use queue::{Attempt, Job, JobError};
use store::{inbound_messages::FinalState, job_args::ProcessMessage};
use tracing::Instrument;
use twilio::MessageSid;

pub(crate) use self::{
    attachments::attachments,
    fail::fail_abandoned,
    finish::{Endings, origin},
    open::Openings,
    rate_limit::{RATE_KEY, rate_key},
};
use self::{fail::fail, find_items::find_items, open::Opened, release_files::release_files};
use crate::{MessageDeps, Notice, StepError, metrics};

impl Job<MessageDeps> for ProcessMessage {
    /// For ten files, one after the other if others are under way, and a model.
    const TIMEOUT: Duration = Duration::from_mins(10);

    async fn run(&self, deps: &MessageDeps, attempt: &Attempt) -> Result<(), JobError> {
        let Err(error) = process(&self.message, deps, attempt).await else {
            return Ok(());
        };
        let (reason, notice) = (error.reason(), error.notice());
        let error = JobError::from(error);
        let given_up = match error {
            JobError::Discard(_) => true,
            JobError::Retry { .. } => attempt.is_last(),
            JobError::Snooze(_) | JobError::LeaseLost => false,
        };
        if given_up
            && let Err(error) = fail(&deps.media.deps, &self.message, reason, notice, attempt).await
        {
            // `ReconcileDeadMessages` will.
            tracing::warn!(%error, "the message could not be ended with its job");
        }
        Err(error)
    }
}

async fn process(
    message: &MessageSid,
    message_deps: &MessageDeps,
    attempt: &Attempt,
) -> Result<(), StepError> {
    let deps = &message_deps.media.deps;
    let opening = deps.openings.ask(message.clone());
    let (opened, age) = opening
        .instrument(tracing::debug_span!("step.open"))
        .await??;
    let (started, had_ended) = (Instant::now(), matches!(opened, Opened::Ended));
    go_on(message_deps, opened, attempt).await?;
    if !had_ended {
        metrics::message_took(age + started.elapsed());
    }
    Ok(())
}

async fn go_on(
    message_deps: &MessageDeps,
    opened: Opened,
    attempt: &Attempt,
) -> Result<(), StepError> {
    let deps = &message_deps.media.deps;
    let enrichment = deps.policy.enrichment;
    let (webhook, owner, came) = match opened {
        // An operator has requeued a job whose message is done.
        Opened::Ended => return finish::complete_only(deps, attempt).await,
        Opened::Wait(time) => return Err(StepError::Wait(time)),
        Opened::Keyword(webhook, keyword, owner) => {
            return finish::finish_keyword(deps, &webhook, keyword, owner, attempt).await;
        }
        Opened::Stranger(webhook) => {
            let state = FinalState::IgnoredUnlinked;
            let notice = enrichment.then_some(Notice::NotLinked);
            return finish::finish(deps, &webhook, state, None, notice, attempt).await;
        }
        Opened::Refused(webhook, owner, wait) => {
            let state = FinalState::RateLimited;
            let notice = Some(Notice::RateLimited(wait));
            return finish::finish(deps, &webhook, state, Some(owner), notice, attempt).await;
        }
        Opened::Ready(webhook, owner, came) => (webhook, owner, came),
    };
    if !enrichment {
        let state = FinalState::IgnoredDisabled;
        return finish::finish(deps, &webhook, state, Some(owner), None, attempt).await;
    }
    let found = find_items(message_deps, &webhook, &owner, came, attempt).await?;
    finish::write_items(deps, &webhook, owner, found, attempt).await?;
    release_files(message_deps, &webhook).await;
    Ok(())
}
