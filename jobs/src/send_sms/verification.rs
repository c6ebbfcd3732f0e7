//! The job that sends a verification SMS.

use std::time::Duration;

use queue::{Attempt, Job, JobArgs, JobError};
use store::job_args::SendVerification;

use super::send;
use crate::SendDeps;

impl Job<SendDeps> for SendVerification {
    // Longer than Twilio's client waits for an answer, so that the attempt sees every answer.
    const TIMEOUT: Duration = Duration::from_secs(45);

    async fn run(&self, deps: &SendDeps, attempt: &Attempt) -> Result<(), JobError> {
        Ok(send(deps, Self::NAME, self.send, attempt).await?)
    }
}
