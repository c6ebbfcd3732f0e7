//! One row.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::columns::sealed_key;
use super::object::MediaObject;
use super::state::MediaState;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::sealed_stream::FileKey;

/// A file that a message brought.
#[derive(Debug, Clone)]
pub struct Media {
    /// See `media_id`.
    pub id: Uuid,
    /// Twilio's id of the message.
    pub message_sid: String,
    /// The user whose file it is.
    pub user_id: Uuid,
    /// The N of `MediaUrlN`.
    pub position: u8,
    /// How far it has come.
    pub state: MediaState,
    /// Twilio's id of the file, if its URL had one.
    pub media_sid: Option<String>,
    /// Its type, by its first bytes.
    pub content_type: Option<String>,
    /// Its length.
    pub bytes: Option<u64>,
    /// SHA-256 of the file as Twilio served it; none once it is erased.
    pub sha256: Option<Vec<u8>>,
    /// Width and height of an image in pixels, if known.
    pub dimensions: Option<(u32, u32)>,
    /// When an attempt first began to store it, by the database's clock.
    pub created_at: DateTime<Utc>,
    /// When it was stored.
    pub stored_at: Option<DateTime<Utc>>,
    /// When it was erased.
    pub erased_at: Option<DateTime<Utc>>,
    /// When Twilio was first known not to have it any more.
    pub deleted_at_twilio: Option<DateTime<Utc>>,
    object_key: Option<String>,
    sealed_key: Option<Vec<u8>>,
}

impl Media {
    /// Returns the object and its key; none unless the file is stored. An error when its key does
    /// not open.
    pub fn object(&self, keyring: &Keyring) -> Result<Option<MediaObject>, StoreError> {
        let (Some(name), Some(sealed)) = (&self.object_key, &self.sealed_key) else {
            return Ok(None);
        };
        if self.state != MediaState::Stored {
            return Ok(None);
        }
        Ok(Some(MediaObject {
            media_id: self.id,
            name: name.clone(),
            key: FileKey::open(keyring, &sealed_key(self.id), sealed)?,
        }))
    }
}

/// The columns of a row.
pub(super) struct MediaRow {
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

impl MediaRow {
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
