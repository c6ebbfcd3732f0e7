//! Sends the reply to a message, once, unless a limit says that it would be one too many.

use std::time::Duration;

use queue::{Attempt, Job, JobError};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{SendDeps, SendVerification, send_sms::send};

/// Send the reply with this id.
#[derive(Debug, Serialize, Deserialize)]
pub struct SendReply {
    /// The send, which is in `pigeonhole.sends`.
    pub send: Uuid,
}

impl Job for SendReply {
    const NAME: &'static str = "send_reply";
    const TIMEOUT: Duration = SendVerification::TIMEOUT;
    type Deps = SendDeps;

    fn about(&self) -> Option<String> {
        Some(self.send.to_string())
    }

    async fn run(&self, deps: &SendDeps, _: &Attempt) -> Result<(), JobError> {
        Ok(send(deps, Self::NAME, self.send).await?)
    }
}
