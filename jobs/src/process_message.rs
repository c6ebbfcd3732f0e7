//! Turns one inbound message into the items its sender's user will review.

use queue::{Attempt, Job, JobError};
use serde::{Deserialize, Serialize};
use store::{
    E164,
    inbound_messages::{self, FinalState, MessageState},
    user_phone_numbers,
};
use twilio::{InboundWebhook, MessageSid};
use uuid::Uuid;

use crate::{Deps, StepError, steps};

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
        let Some((webhook, owner)) = self.open(deps).await? else {
            // It ended before: an operator requeued a job whose message is done.
            return steps::complete_only(deps, attempt).await;
        };
        let Some((user, number)) = owner else {
            return steps::finish(deps, &self.message, FinalState::IgnoredUnlinked, attempt).await;
        };
        let items = steps::extract(&webhook);
        steps::write_items(deps, &webhook, (user, &number), &items, attempt).await
    }

    /// The message and the user whose verified number it came from; `None` if it has ended already.
    async fn open(
        &self,
        deps: &Deps,
    ) -> Result<Option<(InboundWebhook, Option<(Uuid, E164)>)>, StepError> {
        let mut conn = deps.pool.acquire().await?;
        let stored = inbound_messages::load(&mut conn, &deps.keyring, self.message.as_str())
            .await?
            .ok_or_else(|| StepError::NoSuchMessage(self.message.clone()))?;
        if stored.state != MessageState::Received {
            return Ok(None);
        }
        let fields = stored
            .fields
            .ok_or_else(|| StepError::Erased(self.message.clone()))?;
        let webhook = InboundWebhook::from_fields(fields)?;
        // A short code, a name or another channel's address is nobody's phone number.
        let owner = match webhook.from().phone().map(E164::parse) {
            Some(Ok(number)) => {
                let at = stored.received_at;
                user_phone_numbers::find_sender(&mut conn, &deps.keyring, &number, at)
                    .await?
                    .map(|user| (user, number))
            }
            Some(Err(_)) | None => None,
        };
        Ok(Some((webhook, owner)))
    }
}
