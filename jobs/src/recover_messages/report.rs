//! What a look has found.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use store::{inbound_messages::MessageSource, recovery::UnrecoverableReason};

/// What a look has found.
#[derive(Debug, Default, Serialize)]
pub struct LookReport {
    /// Nothing was changed.
    pub dry_run: bool,
    /// How many numbers of ours it looked at.
    pub numbers: usize,
    /// How many messages Twilio listed, most of which we had.
    pub listed: usize,
    /// The missing messages, of each number oldest first.
    pub messages: Vec<FoundMessage>,
    /// How many missing messages Twilio described in a way that we cannot read. They are still
    /// missing.
    pub unreadable: usize,
    /// When there may be more to find.
    #[serde(skip)]
    pub look_again: Option<Duration>,
}

/// A message that no webhook had brought. It has neither number nor text.
#[derive(Debug, Serialize)]
pub struct FoundMessage {
    /// Twilio's id of the message.
    pub message_sid: String,
    /// When Twilio received it.
    pub sent_at: DateTime<Utc>,
    /// How many files it has.
    pub files: u32,
    /// Why its webhook failed: Twilio's error code, if there is an alert.
    pub error_code: Option<u32>,
    /// What became of it.
    pub state: FoundState,
}

/// What became of a missing message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundState {
    /// A dry run found it.
    Missing,
    /// It was accepted, from this source.
    Recovered(MessageSource),
    /// It cannot be rebuilt.
    Unrecoverable(UnrecoverableReason),
}

impl LookReport {
    /// How many messages were recovered.
    pub fn recovered(&self) -> usize {
        let recovered = |found: &&FoundMessage| matches!(found.state, FoundState::Recovered(_));
        self.messages.iter().filter(recovered).count()
    }
}

impl FoundState {
    /// A few words for operators.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Recovered(MessageSource::Alert) => "recovered from alert",
            Self::Recovered(MessageSource::List | MessageSource::Webhook) => "recovered from list",
            Self::Unrecoverable(UnrecoverableReason::Redacted) => "redacted at Twilio",
            Self::Unrecoverable(UnrecoverableReason::Unreadable) => "unreadable",
        }
    }
}

impl Serialize for FoundState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
