//! Begins to store a file.

use sqlx::PgConnection;
use uuid::Uuid;

use super::columns::{TABLE, sealed_key};
use super::load::load;
use super::object::MediaObject;
use super::row::Media;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::sealed_stream::FileKey;

/// Never changes: ids of media are derived under it.
const MEDIA_IDS: Uuid = Uuid::from_u128(0x8d0b_6f2a_51c7_4e39_a7de_0b94_f3c1_6275);

/// A file that a webhook names.
#[derive(Debug, Clone, Copy)]
pub struct NewMedia<'a> {
    /// Twilio's id of the message.
    pub message_sid: &'a str,
    /// The user whose file it is.
    pub user_id: Uuid,
    /// The N of `MediaUrlN`.
    pub position: u8,
    /// Twilio's id of the file, if its URL has one.
    pub media_sid: Option<&'a str>,
}

/// What the caller has to do with a file.
#[derive(Debug)]
pub enum MediaStart {
    /// Store it as this object. An earlier attempt that has not ended cannot end any more.
    Write(MediaObject),
    /// Nothing: it has ended before.
    Ended(Box<Media>),
}

/// Returns the id of the file at a position of a message. It is always the same, so that storing
/// the file again makes no second row.
pub fn media_id(message_sid: &str, position: u8) -> Uuid {
    Uuid::new_v5(&MEDIA_IDS, format!("{message_sid}/{position}").as_bytes())
}

/// Begins to store a file: names its object, so that the database knows the object before it
/// exists. The caller commits before it writes the object. [`StoreError::UserGone`] if the user or
/// the message was deleted meanwhile.
pub async fn begin(
    conn: &mut PgConnection,
    keyring: &Keyring,
    new: NewMedia<'_>,
) -> Result<MediaStart, StoreError> {
    let id = media_id(new.message_sid, new.position);
    let key = FileKey::generate()?;
    let random = Uuid::new_v4().simple().to_string();
    let name = sqlx::query_scalar!(
        r#"insert into pigeonhole.media as m
               (id, message_sid, user_id, position, media_sid, object_key, sealed_key)
           select $1, $2, $3, $4, $5, name || '/' || $6, $7 from pigeonhole.media_namespace
           on conflict (id) do update
               set object_key = excluded.object_key, sealed_key = excluded.sealed_key,
                   begun_at = clock_timestamp()
               where m.state = 'storing'
           returning object_key as "object_key!""#,
        id,
        new.message_sid,
        new.user_id,
        i16::from(new.position),
        new.media_sid,
        // In folders, because file systems are slow with many files in one folder.
        format!("{}/{}", &random[..2], &random[2..]),
        key.seal(keyring, &sealed_key(id))?,
    )
    .fetch_optional(&mut *conn)
    .await
    .map_err(StoreError::writing_for_user(TABLE))?;
    if let Some(name) = name {
        return Ok(MediaStart::Write(MediaObject {
            media_id: id,
            name,
            key,
        }));
    }
    match load(conn, id).await? {
        Some(media) => Ok(MediaStart::Ended(Box::new(media))),
        // Deleted between the two statements, like its user.
        None => Err(StoreError::UserGone { table: TABLE }),
    }
}
