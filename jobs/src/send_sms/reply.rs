//! The job that sends the reply to a message, unless a limit forbids it.

use std::time::Duration;

use queue::{Attempt, Job, JobArgs, JobError};
use store::job_args::{SendReply, SendVerification};

use super::send;
use crate::SendDeps;

impl Job<SendDeps> for SendReply {
    const TIMEOUT: Duration = <SendVerification as Job<SendDeps>>::TIMEOUT;

    async fn run(&self, deps: &SendDeps, attempt: &Attempt) -> Result<(), JobError> {
        Ok(send(deps, Self::NAME, self.send, attempt).await?)
    }
}
