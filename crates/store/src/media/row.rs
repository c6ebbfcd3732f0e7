//! One row: what it says, and the words it says it in.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Object, TABLE, sealed_key};
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::sealed_stream::FileKey;

/// A file that a message brought.
#[derive(Debug, Clone)]
pub struct Media {
    /// See [`media_id`](super::media_id).
    pub id: Uuid,
    /// Twilio's id of the message.
    pub message_sid: String,
    /// Whose it is.
    pub user_id: Uuid,
    /// The N of `MediaUrlN`.
    pub position: u8,
    /// How far it has come.
    pub state: MediaState,
    /// Twilio's id of the file, if its URL had one.
    pub media_sid: Option<String>,
    /// What it is, by its first bytes.
    pub content_type: Option<String>,
    /// How long it is.
    pub bytes: Option<u64>,
    /// SHA-256 of the file as it came; none once it is erased.
    pub sha256: Option<Vec<u8>>,
    /// Width and height of an image, in pixels, as far as known.
    pub dimensions: Option<(u32, u32)>,
    /// When it was first begun, by the database's clock.
    pub created_at: DateTime<Utc>,
    /// When it was stored.
    pub stored_at: Option<DateTime<Utc>>,
    /// When it was erased.
    pub erased_at: Option<DateTime<Utc>>,
    /// When Twilio was known to have it no longer.
    pub deleted_at_twilio: Option<DateTime<Utc>>,
    object_key: Option<String>,
    sealed_key: Option<Vec<u8>>,
}

/// How far a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaState {
    /// An attempt is storing it, or has died over it.
    Storing,
    /// It is there, and [`Media::object`] says where.
    Stored,
    /// We do not keep it.
    Refused(Refusal),
    /// Twilio does not have it any more.
    Gone,
    /// It was stored, and its time is over.
    Erased,
}

/// Why a file is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is longer than allowed.
    TooLarge,
    /// It is of no kind that we keep.
    TypeNotSupported,
    /// An image that decodes to too many pixels.
    TooManyPixels,
    /// Its URL, or where that leads, is not Twilio's.
    Forbidden,
    /// It belongs to the wrapping of the message and says nothing.
    Skipped,
}

impl Media {
    /// Where the file is and what opens it; none unless it is stored. An error when its key does not open.
    pub fn object(&self, keyring: &Keyring) -> Result<Option<Object>, StoreError> {
        let (Some(name), Some(sealed)) = (&self.object_key, &self.sealed_key) else {
            return Ok(None);
        };
        if self.state != MediaState::Stored {
            return Ok(None);
        }
        Ok(Some(Object {
            media_id: self.id,
            name: name.clone(),
            key: FileKey::open(keyring, &sealed_key(self.id), sealed)?,
        }))
    }
}

impl Refusal {
    const ALL: [Self; 5] = [
        Self::TooLarge,
        Self::TypeNotSupported,
        Self::TooManyPixels,
        Self::Forbidden,
        Self::Skipped,
    ];

    /// The text that stands in the database.
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
    /// A word for it, which for a file that was refused is the reason.
    pub fn label(self) -> &'static str {
        match self {
            Self::Storing => "storing",
            Self::Stored => "stored",
            Self::Refused(why) => why.as_str(),
            Self::Gone => "gone",
            Self::Erased => "erased",
        }
    }

    fn parse(state: &str, reason: Option<&str>) -> Result<Self, StoreError> {
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

/// The columns as they stand.
pub(super) struct Row {
    pub(super) id: Uuid,
    pub(super) message_sid: String,
    pub(super) user_id: Uuid,
    pub(super) position: i16,
    pub(super) state: String,
    pub(super) reason: Option<String>,
    pub(super) media_sid: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) bytes: Option<i64>,
    pub(super) sha256: Option<Vec<u8>>,
    pub(super) width: Option<i32>,
    pub(super) height: Option<i32>,
    pub(super) object_key: Option<String>,
    pub(super) sealed_key: Option<Vec<u8>>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) stored_at: Option<DateTime<Utc>>,
    pub(super) erased_at: Option<DateTime<Utc>>,
    pub(super) deleted_at_twilio: Option<DateTime<Utc>>,
}

impl Row {
    pub(super) fn read(self) -> Result<Media, StoreError> {
        let pixels = |number: Option<i32>| number.and_then(|n| u32::try_from(n).ok());
        Ok(Media {
            state: MediaState::parse(&self.state, self.reason.as_deref())?,
            position: u8::try_from(self.position).unwrap_or(u8::MAX),
            bytes: self.bytes.and_then(|n| u64::try_from(n).ok()),
            dimensions: pixels(self.width).zip(pixels(self.height)),
            id: self.id,
            message_sid: self.message_sid,
            user_id: self.user_id,
            media_sid: self.media_sid,
            content_type: self.content_type,
            sha256: self.sha256,
            created_at: self.created_at,
            stored_at: self.stored_at,
            erased_at: self.erased_at,
            deleted_at_twilio: self.deleted_at_twilio,
            object_key: self.object_key,
            sealed_key: self.sealed_key,
        })
    }
}
