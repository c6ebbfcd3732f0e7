//! Sends one verification SMS, once, and finds out what became of it.

use std::time::Duration;

use queue::{Attempt, Job, JobArgs, JobError};
use store::job_args::SendVerification;

use crate::{SendDeps, send_sms::send};

impl Job<SendDeps> for SendVerification {
    // Longer than Twilio's client waits for any answer, so that an attempt hears it.
    const TIMEOUT: Duration = Duration::from_secs(45);

    async fn run(&self, deps: &SendDeps, _: &Attempt) -> Result<(), JobError> {
        Ok(send(deps, Self::NAME, self.send).await?)
    }
}
