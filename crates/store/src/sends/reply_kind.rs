//! Which text a reply has.

use super::columns::TABLE;
use crate::error::StoreError;

/// Which text a reply has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplyKind {
    /// The message was processed.
    Processed,
    /// The number is not linked.
    NotLinked,
    /// Its user has sent too many messages.
    RateLimited,
    /// It could not be processed.
    Failed,
    /// An attached file is too large.
    MediaTooLarge,
    /// An attached file has a type that is not supported.
    MediaUnsupported,
}

impl ReplyKind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Processed,
        Self::NotLinked,
        Self::RateLimited,
        Self::Failed,
        Self::MediaTooLarge,
        Self::MediaUnsupported,
    ];

    /// The text in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::NotLinked => "not_linked",
            Self::RateLimited => "rate_limited",
            Self::Failed => "failed",
            Self::MediaTooLarge => "media_too_large",
            Self::MediaUnsupported => "media_unsupported",
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, StoreError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(StoreError::UnknownValue {
                table: TABLE,
                column: "reply_kind",
            })
    }
}
