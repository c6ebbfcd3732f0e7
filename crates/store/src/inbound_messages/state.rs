//! How far a message has come.

use super::columns::TABLE;
use crate::error::StoreError;

/// How far a message has come. Every state but [`Received`](Self::Received) is final, except that a
/// failed message may still end otherwise when its job is requeued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageState {
    /// Stored; its job has not finished.
    Received,
    /// Its items are written.
    Processed,
    /// It could not be processed; its user got a reply that says so.
    Failed,
    /// Its user had sent too many messages.
    RateLimited,
    /// Its sender's number is verified for no user, so it made no items.
    IgnoredUnlinked,
    /// Enrichment was switched off when it was processed.
    IgnoredDisabled,
    /// It asked us to send no more.
    KeywordStop,
    /// It asked us to send again.
    KeywordStart,
    /// It asked for help.
    KeywordHelp,
}

impl MessageState {
    /// All states.
    pub const ALL: [Self; 9] = [
        Self::Received,
        Self::Processed,
        Self::Failed,
        Self::RateLimited,
        Self::IgnoredUnlinked,
        Self::IgnoredDisabled,
        Self::KeywordStop,
        Self::KeywordStart,
        Self::KeywordHelp,
    ];

    /// The text in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Processed => "processed",
            Self::Failed => "failed",
            Self::RateLimited => "rate_limited",
            Self::IgnoredUnlinked => "ignored_unlinked",
            Self::IgnoredDisabled => "ignored_disabled",
            Self::KeywordStop => "keyword_stop",
            Self::KeywordStart => "keyword_start",
            Self::KeywordHelp => "keyword_help",
        }
    }

    /// Returns whether a message can end in this state.
    pub fn is_final(self) -> bool {
        self != Self::Received
    }

    /// The state that this text stands for.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(StoreError::UnknownValue {
                table: TABLE,
                column: "state",
            })
    }
}
