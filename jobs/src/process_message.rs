//! Turns one inbound message into the items its sender's user will review.

use queue::{Attempt, Job, JobError};
use serde::{Deserialize, Serialize};
use store::inbound_messages::FinalState;
use twilio::MessageSid;

use crate::{
    Deps, Notice, StepError,
    steps::{self, Opened},
};

/// Process the message with this SID.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProcessMessage {
    /// The message, which is in `pigeonhole.inbound_messages`.
    pub message: MessageSid,
}

impl Job for ProcessMessage {
    const NAME: &'static str = "process_message";
    type Deps = Deps;

    async fn run(&self, deps: &Deps, attempt: &Attempt) -> Result<(), JobError> {
        let Err(error) = self.process(deps, attempt).await else {
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
            && let Err(error) = steps::fail(deps, &self.message, reason, notice, attempt).await
        {
            // `SettleMessages` will.
            tracing::warn!(%error, "the message could not be ended with its job");
        }
        Err(error)
    }
}

impl ProcessMessage {
    async fn process(&self, deps: &Deps, attempt: &Attempt) -> Result<(), StepError> {
        let enrichment = deps.policy.enrichment;
        let (webhook, owner) = match deps.openings.ask(self.message.clone()).await?? {
            // An operator has requeued a job whose message is done.
            Opened::Ended => return steps::complete_only(deps, attempt).await,
            Opened::Wait(time) => return Err(StepError::Wait(time)),
            Opened::Keyword(webhook, keyword, owner) => {
                return steps::finish_keyword(deps, &webhook, keyword, owner, attempt).await;
            }
            Opened::Stranger(webhook) => {
                let state = FinalState::IgnoredUnlinked;
                let notice = enrichment.then_some(Notice::NotLinked);
                return steps::finish(deps, &webhook, state, None, notice, attempt).await;
            }
            Opened::Refused(webhook, owner, wait) => {
                let state = FinalState::RateLimited;
                let notice = Some(Notice::RateLimited(wait));
                return steps::finish(deps, &webhook, state, Some(owner), notice, attempt).await;
            }
            Opened::Ready(webhook, owner) => (webhook, owner),
        };
        if !enrichment {
            let state = FinalState::IgnoredDisabled;
            return steps::finish(deps, &webhook, state, Some(owner), None, attempt).await;
        }
        let items = steps::extract(&webhook);
        steps::write_items(deps, &webhook, owner, &items, attempt).await
    }
}
