//! The arguments of the jobs that are enqueued together with a row of this crate.
//!
//! They live here, and not with the code that runs them, so that the receiver can enqueue a job without depending on
//! what the job does. They hold ids only: operators see the rows of the queue.

use queue::JobArgs;
use serde::{Deserialize, Serialize};
use twilio::MessageSid;
use uuid::Uuid;

/// Process the message with this SID.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProcessMessage {
    /// The message, which is in `pigeonhole.inbound_messages`.
    pub message: MessageSid,
}

impl JobArgs for ProcessMessage {
    const NAME: &'static str = "process_message";

    fn subject(&self) -> Option<String> {
        Some(self.message.to_string())
    }
}

/// Send the verification SMS with this id.
#[derive(Debug, Serialize, Deserialize)]
pub struct SendVerification {
    /// The send, which is in `pigeonhole.sends`.
    pub send: Uuid,
}

impl JobArgs for SendVerification {
    const NAME: &'static str = "send_verification";

    fn subject(&self) -> Option<String> {
        Some(self.send.to_string())
    }
}

/// Send the reply with this id.
#[derive(Debug, Serialize, Deserialize)]
pub struct SendReply {
    /// The send, which is in `pigeonhole.sends`.
    pub send: Uuid,
}

impl JobArgs for SendReply {
    const NAME: &'static str = "send_reply";

    fn subject(&self) -> Option<String> {
        Some(self.send.to_string())
    }
}
