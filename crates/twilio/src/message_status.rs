//! The status of a message that we sent, with Twilio's names.
//!
//! Source: Twilio docs, [message
//! status](https://www.twilio.com/docs/messaging/api/message-resource#message-status-values).

use std::fmt;

/// The status of a message. Parsing never fails: an unknown status is kept unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MessageStatus {
    /// A Messaging Service has not picked a sender yet.
    Accepted,
    /// Twilio sends it at a requested time.
    Scheduled,
    /// It waits in the sender's queue.
    Queued,
    /// Twilio is handing it to the carrier.
    Sending,
    /// The nearest carrier accepted it. For carriers without receipts this is the last status.
    Sent,
    /// The carrier reports that it arrived.
    Delivered,
    /// The carrier reports that it did not arrive.
    Undelivered,
    /// It could not be sent.
    Failed,
    /// It was scheduled and then cancelled.
    Canceled,
    /// It was read; not for SMS.
    Read,
    /// An inbound message that is arriving.
    Receiving,
    /// An inbound message that has arrived.
    Received,
    /// It arrived in part; not for SMS.
    PartiallyDelivered,
    /// An unknown status.
    Other(String),
}

impl MessageStatus {
    /// Parses Twilio's name of a status.
    pub fn parse(text: &str) -> Self {
        match text {
            "accepted" => Self::Accepted,
            "scheduled" => Self::Scheduled,
            "queued" => Self::Queued,
            "sending" => Self::Sending,
            "sent" => Self::Sent,
            "delivered" => Self::Delivered,
            "undelivered" => Self::Undelivered,
            "failed" => Self::Failed,
            "canceled" => Self::Canceled,
            "read" => Self::Read,
            "receiving" => Self::Receiving,
            "received" => Self::Received,
            "partially_delivered" => Self::PartiallyDelivered,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Twilio's name of the status.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Accepted => "accepted",
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Undelivered => "undelivered",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Read => "read",
            Self::Receiving => "receiving",
            Self::Received => "received",
            Self::PartiallyDelivered => "partially_delivered",
            Self::Other(other) => other,
        }
    }

    /// Whether the status is final. A delivered message may still become read.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Delivered | Self::Undelivered | Self::Failed | Self::Canceled | Self::Read
        )
    }
}

impl fmt::Display for MessageStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::MessageStatus;

    #[test]
    fn every_status_of_twilio_is_known_and_any_other_is_kept() {
        for word in [
            "accepted",
            "scheduled",
            "queued",
            "sending",
            "sent",
            "delivered",
            "undelivered",
            "failed",
            "canceled",
            "read",
            "receiving",
            "received",
            "partially_delivered",
        ] {
            let status = MessageStatus::parse(word);
            assert!(!matches!(status, MessageStatus::Other(_)), "{word}");
            assert_eq!(status.as_str(), word);
        }
        let unheard = MessageStatus::parse("Teleported");
        assert_eq!(unheard, MessageStatus::Other("Teleported".to_owned()));
        assert_eq!(unheard.as_str(), "Teleported");
    }
}
