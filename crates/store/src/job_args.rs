//! The arguments of the jobs that are enqueued together with a row of this crate, or by the
//! receiver.
//!
//! They live here, and not with the code that runs them, so that the receiver can enqueue a job
//! without depending on what the job does. They hold ids only: operators see the rows of the queue.

use queue::{JobArgs, Priority};
use serde::{Deserialize, Serialize};
use twilio::MessageSid;
use uuid::Uuid;

/// Process the message with this SID.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProcessMessage {
    /// The message, which is in `pigeonhole.inbound_messages`.
    pub message: MessageSid,
}

impl ProcessMessage {
    /// The arguments of the job of the message with this SID, as JSON.
    pub(crate) fn args_of(message_sid: &str) -> String {
        serde_json::json!({ "message": message_sid }).to_string()
    }
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

/// Look for messages at Twilio that no webhook brought.
#[derive(Debug, Serialize, Deserialize)]
pub struct RecoverMessages {}

impl JobArgs for RecoverMessages {
    const NAME: &'static str = "recover_messages";
    const MAX_ATTEMPTS: u16 = 3;
    const PRIORITY: Priority = Priority::HIGH;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_that_accept_all_writes_are_those_of_the_job() {
        let sid = "SM00000000000000000000000000000001";
        let args: ProcessMessage = serde_json::from_str(&ProcessMessage::args_of(sid)).unwrap();
        assert_eq!(args.message.as_str(), sid);
        let written = serde_json::to_string(&args).unwrap();
        assert_eq!(written, ProcessMessage::args_of(sid));
    }
}
