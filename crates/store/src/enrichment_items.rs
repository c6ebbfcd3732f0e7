//! `enrichment_items`: the items of messages, for their users to review. The app's table.

mod review;
mod stored;

use std::fmt;

use serde_json::{Map, Value};
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::review::{ReviewedItem, hold_of_message, of_message_and_user, withdraw};
pub use self::stored::StoredItem;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::sealed::Context;

const TABLE: &str = "enrichment_items";

/// Never changes: item ids are derived under it.
const ITEM_IDS: Uuid = Uuid::from_u128(0x3f0d_9c5e_7a41_4d0b_9b86_52c7_1e8f_a604);

/// The message that items come from. `Debug` hides who sent it and what it says.
pub struct Origin {
    /// The user whose items they are.
    pub user_id: Uuid,
    /// Twilio's id of the message.
    pub message_sid: String,
    /// The number it came from. Kept sealed.
    pub phone_number: String,
    /// The message's text, if it has one. Stored in clear: the app shows it.
    pub original_message: Option<String>,
    /// What kind of message it was.
    pub source: Source,
}

/// What kind of message an item comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A text message.
    Sms,
    /// A message with media.
    Mms {
        /// The MIME type of the media that was analysed, or `text` if it was the text.
        media_type: String,
    },
}

/// An item of a message. `Debug` hides its value.
pub struct NewItem {
    /// See [`item_id`].
    pub id: Uuid,
    /// Where it belongs in the user's contacts.
    pub item_type: ItemType,
    /// The field's name, 50 characters at most; none for a tag or a contact.
    pub field_name: Option<String>,
    /// Its value: text, or JSON text for a contact.
    pub value: String,
}

/// Where an item belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemType {
    /// A field of a contact, or the contact.
    Field,
    /// A tag.
    Tag,
}

/// Returns the id of the item at a position of a message. It is always the same, so that writing
/// the item again changes nothing.
pub fn item_id(message_sid: &str, position: u32) -> Uuid {
    Uuid::new_v5(&ITEM_IDS, format!("{message_sid}/{position}").as_bytes())
}

/// Adds items for review, in one statement. Returns how many are new. An item whose id exists does
/// not change. [`StoreError::UserGone`] if the user was deleted meanwhile.
pub async fn insert(
    conn: &mut PgConnection,
    keyring: &Keyring,
    origin: &Origin,
    items: &[NewItem],
) -> Result<u64, StoreError> {
    let ids: Vec<Uuid> = items.iter().map(|item| item.id).collect();
    let item_types: Vec<String> = items
        .iter()
        .map(|item| item.item_type.as_str().to_owned())
        .collect();
    let field_names: Vec<Option<String>> =
        items.iter().map(|item| item.field_name.clone()).collect();
    let values: Vec<String> = items.iter().map(|item| item.value.clone()).collect();
    let metadata: Vec<Value> = ids
        .iter()
        .map(|id| origin.metadata(keyring, *id))
        .collect::<Result<_, _>>()?;
    let done = sqlx::query!(
        "insert into enrichment_items
             (id, user_id, item_type, action, field_name, value, accepted, applied, status, source,
              source_metadata)
         select id, $2, item_type, 'add', field_name, value, false, false, 'pending', $3, metadata
         from unnest($1::uuid[], $4::text[], $5::text[], $6::text[], $7::jsonb[])
             as item (id, item_type, field_name, value, metadata)
         on conflict (id) do nothing",
        &ids,
        origin.user_id,
        origin.source.as_str(),
        &item_types,
        &field_names as &[Option<String>],
        &values,
        &metadata,
    )
    .execute(conn)
    .await
    .map_err(StoreError::writing_for_user(TABLE))?;
    Ok(done.rows_affected())
}

/// Returns the items of a message, in no particular order.
pub async fn of_message(
    conn: &mut PgConnection,
    message_sid: &str,
) -> Result<Vec<StoredItem>, StoreError> {
    Ok(sqlx::query_as!(
        StoredItem,
        r#"select id, user_id, item_type, field_name, value, source, source_metadata
           from enrichment_items where source_metadata @> jsonb_build_object('message_sid', $1::text)
           order by created_at, item_type, value"#,
        message_sid,
    )
    .fetch_all(conn)
    .await?)
}

/// Returns a user's items, at most `limit` of them, the newest first.
pub async fn of_user(
    conn: &mut PgConnection,
    user_id: Uuid,
    limit: i64,
) -> Result<Vec<StoredItem>, StoreError> {
    Ok(sqlx::query_as!(
        StoredItem,
        "select id, user_id, item_type, field_name, value, source, source_metadata
         from enrichment_items where user_id = $1
         order by created_at desc, item_type, value, id limit $2",
        user_id,
        limit,
    )
    .fetch_all(conn)
    .await?)
}

impl Origin {
    pub(crate) fn metadata(&self, keyring: &Keyring, item_id: Uuid) -> Result<Value, StoreError> {
        let context = Context::new(TABLE, "source_metadata.phone_number", item_id);
        let mut metadata = Map::new();
        let mut put = |key: &str, value: &str| metadata.insert(key.to_owned(), value.into());
        put(
            "phone_number",
            &keyring.seal_text(&context, &self.phone_number)?,
        );
        put("message_sid", &self.message_sid);
        if let Source::Mms { media_type } = &self.source {
            put("media_type", media_type);
        }
        if let Some(text) = &self.original_message {
            put("original_message", text);
        }
        Ok(Value::Object(metadata))
    }
}

impl Source {
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::Mms { .. } => "mms",
        }
    }
}

impl ItemType {
    /// The text in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Field => "field",
            Self::Tag => "tag",
        }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Origin({}, {:?}, [sealed])",
            self.message_sid, self.source
        )
    }
}

impl fmt::Debug for NewItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewItem({}, {:?}, [sealed])", self.id, self.item_type)
    }
}
