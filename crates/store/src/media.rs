//! `pigeonhole.media`: the files that messages bring, one row a file. The file itself is an object elsewhere, sealed
//! under a key that only its row has.
//!
//! A row says `storing`, with the name of its object, before a byte of the object is written. Whatever lets go of an
//! object's name leaves it in `pigeonhole.media_garbage`, by a trigger, so that no object is forgotten: see [`upkeep`].

pub mod upkeep;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Context, FileKey, Keyring, StoreError};

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

/// A file that a message brought.
#[derive(Debug, Clone)]
pub struct Media {
    /// See [`media_id`].
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
struct Row {
    id: Uuid,
    message_sid: String,
    user_id: Uuid,
    position: i16,
    state: String,
    reason: Option<String>,
    media_sid: Option<String>,
    content_type: Option<String>,
    bytes: Option<i64>,
    sha256: Option<Vec<u8>>,
    width: Option<i32>,
    height: Option<i32>,
    object_key: Option<String>,
    sealed_key: Option<Vec<u8>>,
    created_at: DateTime<Utc>,
    stored_at: Option<DateTime<Utc>>,
    erased_at: Option<DateTime<Utc>>,
    deleted_at_twilio: Option<DateTime<Utc>>,
}

impl Row {
    fn read(self) -> Result<Media, StoreError> {
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

fn sealed_key(id: Uuid) -> Context {
    Context::new(TABLE, "sealed_key", id)
}
