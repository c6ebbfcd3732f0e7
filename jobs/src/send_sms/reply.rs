//! Sends the reply to a message, once, unless a limit says that it would be one too many.

use std::time::Duration;

use queue::{Attempt, Job, JobArgs, JobError};
use store::job_args::{SendReply, SendVerification};

use crate::{SendDeps, send_sms::send};

impl Job<SendDeps> for SendReply {
    const TIMEOUT: Duration = <SendVerification as Job<SendDeps>>::TIMEOUT;

    async fn run(&self, deps: &SendDeps, _: &Attempt) -> Result<(), JobError> {
        Ok(send(deps, Self::NAME, self.send).await?)
    }
}
