//! Reads a stored send.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::columns::open_message;
use super::purpose::Purpose;
use super::reply_kind::ReplyKind;
use super::state::SendState;
use crate::clock::seconds;
use crate::e164::E164;
use crate::error::StoreError;
use crate::keyring::Keyring;

/// A stored send, opened.
#[derive(Clone)]
pub struct Send {
    /// Its id.
    pub id: Uuid,
    /// Its state.
    pub state: SendState,
    /// The user who caused it; `None` for a reply to a number that is not linked.
    pub user_id: Option<Uuid>,
    /// Which text it has, if it is a reply.
    pub reply: Option<ReplyKind>,
    /// Whether it has passed its limits before.
    pub started: bool,
    /// Recipient and text; `None` once they were erased.
    pub message: Option<(E164, String)>,
    /// How long it may still be sent, by the database's clock; zero once that is over.
    pub life: Duration,
    /// When it was stored.
    pub created_at: DateTime<Utc>,
    /// How long ago that is.
    pub age: Duration,
    /// When the last request to Twilio began, and how long ago that is.
    pub posted: Option<(DateTime<Utc>, Duration)>,
}

impl Send {
    /// What it is for.
    pub fn purpose(&self) -> Purpose {
        match self.reply {
            Some(_) => Purpose::Reply,
            None => Purpose::Verification,
        }
    }
}

impl fmt::Debug for Send {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Send({}, {:?}, [sealed])", self.id, self.state)
    }
}

/// Returns the send with this id. An error when recipient and text are there and do not open.
pub async fn load(
    conn: &mut PgConnection,
    keyring: &Keyring,
    id: Uuid,
) -> Result<Option<Send>, StoreError> {
    let row = sqlx::query!(
        r#"select state, user_id, reply_kind, started_at is not null as "started!", sealed,
               created_at, posted_at,
               extract(epoch from expires_at - clock_timestamp())::float8 as "life!",
               extract(epoch from clock_timestamp() - created_at)::float8 as "age!",
               extract(epoch from clock_timestamp() - posted_at)::float8 as since_posted
           from pigeonhole.sends where id = $1"#,
        id,
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let open = |sealed: Vec<u8>| open_message(keyring, id, &sealed);
    Ok(Some(Send {
        id,
        state: SendState::parse(&row.state)?,
        user_id: row.user_id,
        reply: row
            .reply_kind
            .as_deref()
            .map(ReplyKind::parse)
            .transpose()?,
        started: row.started,
        message: row.sealed.map(open).transpose()?,
        life: seconds(row.life),
        created_at: row.created_at,
        age: seconds(row.age),
        posted: row
            .posted_at
            .zip(row.since_posted)
            .map(|(at, since)| (at, seconds(since))),
    }))
}

/// Returns the purpose of the send with this id, or without an id, with this SID at Twilio; `None`
/// if there is none.
pub async fn purpose(
    conn: &mut PgConnection,
    id: Option<Uuid>,
    twilio_sid: &str,
) -> Result<Option<Purpose>, StoreError> {
    let purpose = sqlx::query_scalar!(
        "select purpose from pigeonhole.sends where id = $1 or $1 is null and twilio_sid = $2",
        id,
        twilio_sid,
    )
    .fetch_optional(conn)
    .await?;
    Ok(purpose.and_then(|text| {
        Purpose::ALL
            .into_iter()
            .find(|known| known.as_str() == text)
    }))
}

/// Returns which of these SIDs at Twilio belong to a send already.
pub async fn known_names(
    conn: &mut PgConnection,
    twilio_sids: &[String],
) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select twilio_sid as "sid!" from pigeonhole.sends
           where twilio_sid = any($1) order by twilio_sid"#,
        twilio_sids,
    )
    .fetch_all(conn)
    .await?)
}
