//! Sends one verification SMS, once, and finds out what became of it.

use std::time::Duration;

use queue::{Attempt, Job, JobError};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{SendDeps, send_sms::send};

/// Send the SMS with this id.
#[derive(Debug, Serialize, Deserialize)]
pub struct SendVerification {
    /// The send, which is in `pigeonhole.sends`.
    pub send: Uuid,
}

impl Job for SendVerification {
    const NAME: &'static str = "send_verification";
    // Longer than Twilio's client waits for any answer, so that an attempt hears it.
    const TIMEOUT: Duration = Duration::from_secs(45);
    type Deps = SendDeps;

    fn about(&self) -> Option<String> {
        Some(self.send.to_string())
    }

    async fn run(&self, deps: &SendDeps, _: &Attempt) -> Result<(), JobError> {
        Ok(send(deps, Self::NAME, self.send).await?)
    }
}
