//! How far a message of ours has got, in Twilio's words.
//!
//! Source: Twilio docs, [message
//! status](https://www.twilio.com/docs/messaging/api/message-resource#message-status-values).

use std::fmt;

/// The status of a message. What Twilio may add one day is kept as it is: no status fails to parse.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MessageStatus {
    /// A Messaging Service is to pick a sender.
    Accepted,
    /// To be sent at a time that was asked for.
    Scheduled,
    /// Waits for its sender.
    Queued,
    /// On its way to the carrier.
    Sending,
    /// The nearest carrier has it. Carriers without receipts leave it at that.
    Sent,
    /// The carrier says that it has arrived.
    Delivered,
    /// The carrier says that it has not arrived.
    Undelivered,
    /// It could not be sent.
    Failed,
    /// It was scheduled and then called off.
    Canceled,
    /// It was read; not for SMS.
    Read,
    /// An inbound message on its way.
    Receiving,
    /// An inbound message that has arrived.
    Received,
    /// Some of it has arrived; not for SMS.
    PartiallyDelivered,
    /// One that we do not know.
    Other(String),
}

impl MessageStatus {
    /// Reads Twilio's word.
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

    /// Twilio's word.
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

    /// Will it stay as it is? A message that was delivered may still be said to have been read.
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
    fn every_word_of_twilios_is_known_and_any_other_is_kept() {
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
