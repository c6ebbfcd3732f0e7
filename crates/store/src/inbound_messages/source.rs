//! How a message came to us.

use super::columns::TABLE;
use crate::error::StoreError;

/// How a message came to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageSource {
    /// By its webhook.
    Webhook,
    /// Rebuilt from Twilio's list of messages, which lacks some parameters of the webhook.
    List,
    /// Recovered with the parameters of its failed webhook, from Twilio's alerts.
    Alert,
}

impl MessageSource {
    /// All sources.
    pub const ALL: [Self; 3] = [Self::Webhook, Self::List, Self::Alert];

    /// The text in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::List => "list",
            Self::Alert => "alert",
        }
    }

    /// The source that this text stands for.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        Self::ALL
            .into_iter()
            .find(|source| source.as_str() == text)
            .ok_or(StoreError::UnknownValue {
                table: TABLE,
                column: "source",
            })
    }
}
