//! How far a send has come.

use twilio::MessageStatus;

use super::columns::TABLE;
use crate::error::StoreError;

/// How far a send has come, in the order in which it moves up. Undelivered and failed are two ends
/// of one rank: neither replaces the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SendState {
    /// Its job has not started it.
    Pending,
    /// A request to Twilio runs, or its process died.
    Sending,
    /// It is not known whether Twilio has it.
    Unknown,
    /// Twilio has it.
    Sent,
    /// Twilio could not deliver it.
    Undelivered,
    /// It was not sent and will not be.
    Failed,
    /// It has arrived.
    Delivered,
}

/// All states.
const ALL: [SendState; 7] = [
    SendState::Pending,
    SendState::Sending,
    SendState::Unknown,
    SendState::Sent,
    SendState::Undelivered,
    SendState::Failed,
    SendState::Delivered,
];

impl SendState {
    /// The states in which a send ends.
    pub const ENDS: [Self; 3] = [Self::Undelivered, Self::Failed, Self::Delivered];

    /// All states.
    pub const ALL: [Self; 7] = ALL;

    /// The text in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sending => "sending",
            Self::Unknown => "unknown",
            Self::Sent => "sent",
            Self::Undelivered => "undelivered",
            Self::Failed => "failed",
            Self::Delivered => "delivered",
        }
    }

    /// Returns whether the send has ended. Recipient and text are not needed then. A failed send
    /// may still turn out to be delivered.
    pub fn is_end(self) -> bool {
        self >= Self::Undelivered
    }

    /// The states from which a send moves up to this one.
    pub(super) fn below(self) -> Vec<String> {
        ALL.into_iter()
            .filter(|state| state.rank() < self.rank())
            .map(|state| state.as_str().to_owned())
            .collect()
    }

    pub(super) fn parse(text: &str) -> Result<Self, StoreError> {
        ALL.into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(StoreError::UnknownValue {
                table: TABLE,
                column: "state",
            })
    }

    /// The state of a send whose message has this status at Twilio.
    pub fn of_twilio(status: &MessageStatus) -> Self {
        match status {
            MessageStatus::Delivered | MessageStatus::Read => Self::Delivered,
            MessageStatus::Undelivered => Self::Undelivered,
            MessageStatus::Failed | MessageStatus::Canceled => Self::Failed,
            MessageStatus::Accepted
            | MessageStatus::Scheduled
            | MessageStatus::Queued
            | MessageStatus::Sending
            | MessageStatus::Sent
            | MessageStatus::PartiallyDelivered
            | MessageStatus::Receiving
            | MessageStatus::Received
            | MessageStatus::Other(_) => Self::Sent,
        }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Sending => 1,
            Self::Unknown => 2,
            Self::Sent => 3,
            Self::Undelivered | Self::Failed => 4,
            Self::Delivered => 5,
        }
    }
}
