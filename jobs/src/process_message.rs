//! Turns one inbound message into the items its sender's user will review.

use queue::{Attempt, Job, JobError};
use serde::{Deserialize, Serialize};
use store::inbound_messages::FinalState;
use twilio::MessageSid;

use crate::{
    Deps, StepError,
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
        Ok(self.process(deps, attempt).await?)
    }
}

impl ProcessMessage {
    async fn process(&self, deps: &Deps, attempt: &Attempt) -> Result<(), StepError> {
        let (webhook, owner) = match deps.openings.ask(self.message.clone()).await?? {
            // An operator has requeued a job whose message is done.
            Opened::Ended => return steps::complete_only(deps, attempt).await,
            Opened::Wait(time) => return Err(StepError::Wait(time)),
            Opened::Stranger(webhook) => {
                let state = FinalState::IgnoredUnlinked;
                return steps::finish(deps, &webhook, state, None, attempt).await;
            }
            Opened::Refused(webhook, owner) => {
                let state = FinalState::RateLimited;
                return steps::finish(deps, &webhook, state, Some(owner), attempt).await;
            }
            Opened::Ready(webhook, owner) => (webhook, owner),
        };
        if !deps.policy.enrichment {
            let state = FinalState::IgnoredDisabled;
            return steps::finish(deps, &webhook, state, Some(owner), attempt).await;
        }
        let items = steps::extract(&webhook);
        steps::write_items(deps, &webhook, owner, &items, attempt).await
    }
}
