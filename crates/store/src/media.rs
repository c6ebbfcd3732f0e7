//! `pigeonhole.media`: the files that messages bring, one row a file. The file itself is an object elsewhere, sealed
//! under a key that only its row has.
//!
//! A row says `storing`, with the name of its object, before a byte of the object is written. Whatever lets go of an
//! object's name leaves it in `pigeonhole.media_garbage`, by a trigger, so that no object is forgotten: see [`upkeep`].

pub mod cleanup;
mod row;

use sqlx::PgConnection;
use uuid::Uuid;

use self::row::Row;
pub use self::row::{Media, MediaState, Refusal};

use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::sealed::Context;
use crate::sealed_stream::FileKey;

const TABLE: &str = "pigeonhole.media";

/// Never changes: ids of media are derived under it.
const MEDIA_IDS: Uuid = Uuid::from_u128(0x8d0b_6f2a_51c7_4e39_a7de_0b94_f3c1_6275);

/// The row's columns, as every query here reads them.
macro_rules! select_media {
    ($rest:literal, $($argument:expr),*) => {
        sqlx::query_as!(
            Row,
            "select id, message_sid, user_id, position, state, reason, media_sid, content_type, bytes, sha256, width,
                 height, object_key, sealed_key, created_at, stored_at, erased_at, deleted_at_twilio
             from pigeonhole.media " + $rest,
            $($argument),*
        )
    };
}

/// Where the sealed file lies, and what opens it. `Debug` hides the key.
#[derive(Debug, Clone)]
pub struct Object {
    /// The row it belongs to.
    pub media_id: Uuid,
    /// The object's name.
    pub name: String,
    /// The key of this object.
    pub key: FileKey,
}

/// What the file turned out to be.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What it is, by its first bytes.
    pub content_type: &'static str,
    /// How long it is.
    pub bytes: u64,
    /// SHA-256 of it.
    pub sha256: [u8; 32],
    /// Width and height of an image, in pixels.
    pub dimensions: Option<(u32, u32)>,
}

/// A file that a message announces.
#[derive(Debug, Clone, Copy)]
pub struct NewMedia<'a> {
    /// Twilio's id of the message.
    pub message_sid: &'a str,
    /// Whose it is.
    pub user_id: Uuid,
    /// The N of `MediaUrlN`.
    pub position: u8,
    /// Twilio's id of the file, if its URL has one.
    pub media_sid: Option<&'a str>,
}

/// What is to be done with a file.
#[derive(Debug)]
pub enum Begun {
    /// Store it as this object. Whoever began before and has not ended cannot end any more.
    Write(Object),
    /// Nothing: it has come to its end before.
    Ended(Box<Media>),
}

/// The id of the file at a position of a message: always the same, so that storing it again makes no second.
pub fn media_id(message_sid: &str, position: u8) -> Uuid {
    Uuid::new_v5(&MEDIA_IDS, format!("{message_sid}/{position}").as_bytes())
}

/// Begins to store a file: names its object, so that it is known before it is there. Commit before writing it.
/// [`StoreError::UserGone`] if the user or the message was deleted meanwhile.
pub async fn begin(
    conn: &mut PgConnection,
    keyring: &Keyring,
    new: NewMedia<'_>,
) -> Result<Begun, StoreError> {
    let id = media_id(new.message_sid, new.position);
    let key = FileKey::generate()?;
    let random = Uuid::new_v4().simple().to_string();
    let name = sqlx::query_scalar!(
        r#"insert into pigeonhole.media as m (id, message_sid, user_id, position, media_sid, object_key, sealed_key)
           select $1, $2, $3, $4, $5, name || '/' || $6, $7 from pigeonhole.media_namespace
           on conflict (id) do update
               set object_key = excluded.object_key, sealed_key = excluded.sealed_key, begun_at = clock_timestamp()
               where m.state = 'storing'
           returning object_key as "object_key!""#,
        id,
        new.message_sid,
        new.user_id,
        i16::from(new.position),
        new.media_sid,
        // In folders, for the sake of file systems.
        format!("{}/{}", &random[..2], &random[2..]),
        key.seal(keyring, &sealed_key(id))?,
    )
    .fetch_optional(&mut *conn)
    .await
    .map_err(StoreError::writing_for_user(TABLE))?;
    if let Some(name) = name {
        return Ok(Begun::Write(Object {
            media_id: id,
            name,
            key,
        }));
    }
    match load(conn, id).await? {
        Some(media) => Ok(Begun::Ended(Box::new(media))),
        // Deleted between the two statements, as its user was.
        None => Err(StoreError::UserGone { table: TABLE }),
    }
}

/// The object is written: the file is stored. False when it is not ours to store any more, because somebody else has
/// begun since or the row is gone; then nothing changes.
pub async fn stored(
    conn: &mut PgConnection,
    object: &Object,
    facts: &Facts,
) -> Result<bool, StoreError> {
    let dimension = |of: fn((u32, u32)) -> u32| {
        facts
            .dimensions
            .and_then(|both| i32::try_from(of(both)).ok())
    };
    let done = sqlx::query!(
        "update pigeonhole.media
         set state = 'stored', stored_at = clock_timestamp(), content_type = $3, bytes = $4, sha256 = $5, width = $6,
             height = $7
         where id = $1 and object_key = $2 and state = 'storing'",
        object.media_id,
        object.name,
        facts.content_type,
        i64::try_from(facts.bytes).unwrap_or(i64::MAX),
        facts.sha256.as_slice(),
        dimension(|both| both.0),
        dimension(|both| both.1),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The file is not kept, and its object, if one was written, is garbage. False as in [`stored`].
pub async fn refused(
    conn: &mut PgConnection,
    object: &Object,
    why: Refusal,
) -> Result<bool, StoreError> {
    ended(conn, object, "refused", Some(why.as_str())).await
}

/// Twilio does not have the file. False as in [`stored`].
pub async fn gone(conn: &mut PgConnection, object: &Object) -> Result<bool, StoreError> {
    ended(conn, object, "gone", None).await
}

async fn ended(
    conn: &mut PgConnection,
    object: &Object,
    state: &str,
    reason: Option<&str>,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "update pigeonhole.media set state = $3, reason = $4, object_key = null, sealed_key = null
         where id = $1 and object_key = $2 and state = 'storing'",
        object.media_id,
        object.name,
        state,
        reason,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The file with this id.
pub async fn load(conn: &mut PgConnection, id: Uuid) -> Result<Option<Media>, StoreError> {
    let row = select_media!("where id = $1", id)
        .fetch_optional(conn)
        .await?;
    row.map(Row::read).transpose()
}

/// The files of a message, by position.
pub async fn of_message(
    conn: &mut PgConnection,
    message_sid: &str,
) -> Result<Vec<Media>, StoreError> {
    let rows = select_media!("where message_sid = $1 order by position", message_sid)
        .fetch_all(conn)
        .await?;
    rows.into_iter().map(Row::read).collect()
}

/// Erases the files of a message, for good when this commits; their objects follow. Answers how many. What is still
/// being stored is left alone.
pub async fn erase_of_message(
    conn: &mut PgConnection,
    message_sid: &str,
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "update pigeonhole.media
         set state = 'erased', erased_at = clock_timestamp(), sha256 = null, object_key = null, sealed_key = null
         where message_sid = $1 and state = 'stored'",
        message_sid,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// The files of a message that Twilio may still have: their ids and Twilio's.
pub async fn still_at_twilio(
    conn: &mut PgConnection,
    message_sid: &str,
) -> Result<Vec<(Uuid, String)>, StoreError> {
    let rows = sqlx::query!(
        r#"select id, media_sid as "media_sid!" from pigeonhole.media
           where message_sid = $1 and media_sid is not null and deleted_at_twilio is null
               and state not in ('storing', 'gone')
           order by position"#,
        message_sid,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.id, row.media_sid))
        .collect())
}

/// Twilio does not have the file any more. It does not matter if the row is gone.
pub async fn deleted_at_twilio(conn: &mut PgConnection, id: Uuid) -> Result<(), StoreError> {
    sqlx::query!(
        "update pigeonhole.media set deleted_at_twilio = clock_timestamp() where id = $1 and deleted_at_twilio is null",
        id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

fn sealed_key(id: Uuid) -> Context {
    Context::new(TABLE, "sealed_key", id)
}
