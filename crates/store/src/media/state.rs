//! How far a file has come.

use super::columns::TABLE;
use crate::error::StoreError;

/// How far a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaState {
    /// An attempt stores it, or its process died.
    Storing,
    /// It is stored; `Media::object` returns its object.
    Stored,
    /// We refused it.
    Refused(Refusal),
    /// Twilio does not have it any more.
    Gone,
    /// It was stored, and erased after the retention.
    Erased,
}

/// Why a file is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is longer than allowed.
    TooLarge,
    /// Its type is not supported.
    TypeNotSupported,
    /// An image that decodes to too many pixels.
    TooManyPixels,
    /// Its URL, or the target of a redirect, is not Twilio's.
    Forbidden,
    /// It belongs to the format of the message and has no content of its own.
    Skipped,
}

impl Refusal {
    const ALL: [Self; 5] = [
        Self::TooLarge,
        Self::TypeNotSupported,
        Self::TooManyPixels,
        Self::Forbidden,
        Self::Skipped,
    ];

    /// The text in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::TypeNotSupported => "type_not_supported",
            Self::TooManyPixels => "too_many_pixels",
            Self::Forbidden => "forbidden",
            Self::Skipped => "skipped",
        }
    }
}

impl MediaState {
    /// A short name; for a refused file, the reason.
    pub fn label(self) -> &'static str {
        match self {
            Self::Storing => "storing",
            Self::Stored => "stored",
            Self::Refused(why) => why.as_str(),
            Self::Gone => "gone",
            Self::Erased => "erased",
        }
    }

    pub(super) fn parse(state: &str, reason: Option<&str>) -> Result<Self, StoreError> {
        let unknown = |column| StoreError::UnknownValue {
            table: TABLE,
            column,
        };
        Ok(match state {
            "storing" => Self::Storing,
            "stored" => Self::Stored,
            "gone" => Self::Gone,
            "erased" => Self::Erased,
            "refused" => {
                let why = Refusal::ALL
                    .into_iter()
                    .find(|why| Some(why.as_str()) == reason);
                Self::Refused(why.ok_or_else(|| unknown("reason"))?)
            }
            _ => return Err(unknown("state")),
        })
    }
}
