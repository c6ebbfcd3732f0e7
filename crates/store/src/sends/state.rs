//! How far a send has come.

use super::TABLE;
use crate::error::StoreError;

/// How far a send has come, in the order in which it moves up. Undelivered and failed are two ends of one rank: neither
/// gives way to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SendState {
    /// Its job has not begun it.
    Pending,
    /// Twilio is being asked, or somebody died over it.
    Sending,
    /// Whether Twilio has it is not known.
    Unknown,
    /// Twilio has it.
    Sent,
    /// Twilio could not deliver it.
    Undelivered,
    /// It was not sent, for good.
    Failed,
    /// It has arrived.
    Delivered,
}

/// All there are.
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
    /// Those in which a send ends.
    pub const ENDS: [Self; 3] = [Self::Undelivered, Self::Failed, Self::Delivered];

    /// All there are.
    pub const ALL: [Self; 7] = ALL;

    /// The text that stands in the database.
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

    /// Has it ended? Recipient and text are of no use then. A failed delivery may yet turn out to have arrived.
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
