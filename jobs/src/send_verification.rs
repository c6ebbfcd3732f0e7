//! Sends one verification SMS, once, and finds out what became of it.

use queue::{Attempt, Job, JobError};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Deps;

/// Send the SMS with this id.
#[derive(Debug, Serialize, Deserialize)]
pub struct SendVerification {
    /// The send, which is in `pigeonhole.sends`.
    pub send: Uuid,
}

impl Job for SendVerification {
    const NAME: &'static str = "send_verification";
    type Deps = Deps;

    async fn run(&self, _deps: &Deps, _attempt: &Attempt) -> Result<(), JobError> {
        todo!()
    }
}
