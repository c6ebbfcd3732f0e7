//! `pigeonhole.sends`: one row an outgoing SMS, from the wish to send it to its delivery.
//!
//! Its state only moves up: pending, sending, unknown, sent, then undelivered or failed, then delivered. The one step
//! back, from `sending` to `pending`, is for when Twilio certainly did nothing ([`give_back`]).

mod moves;
mod replies;
mod state;

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::moves::{Move, advance, advance_named, cancel_pending, give_back, start};
pub use self::replies::{NewReply, ReplyKind, insert_replies};
pub use self::state::SendState;
use crate::clock::seconds;
use crate::e164::E164;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::sealed::Context;

const TABLE: &str = "pigeonhole.sends";

/// What an SMS is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It carries a verification code.
    Verification,
    /// It answers a message.
    Reply,
}

impl Purpose {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Verification, Self::Reply];

    /// The text that stands in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verification => "verification",
            Self::Reply => "reply",
        }
    }
}

/// An SMS to be sent.
#[derive(Clone)]
pub struct NewSend {
    /// Whose doing it is.
    pub user_id: Uuid,
    /// What for.
    pub purpose: Purpose,
    /// To whom.
    pub to: E164,
    /// The text.
    pub body: String,
    /// How long from now it may still be sent.
    pub life: Duration,
}

impl fmt::Debug for NewSend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewSend([sealed])")
    }
}

/// A stored send, opened.
#[derive(Clone)]
pub struct Send {
    /// Its id.
    pub id: Uuid,
    /// Its state.
    pub state: SendState,
    /// Whose doing it is; nobody's if it replies to a number that is nobody's.
    pub user_id: Option<Uuid>,
    /// What it says, if it is a reply.
    pub reply: Option<ReplyKind>,
    /// Has it passed its limits before?
    pub started: bool,
    /// Recipient and text; `None` once they were erased.
    pub message: Option<(E164, String)>,
    /// How long it may still be sent, by the database's clock; zero once that is over.
    pub life: Duration,
    /// Since when it exists.
    pub age: Duration,
    /// When Twilio was about to be asked, and how long ago that is.
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

/// What the send is for that has this id, or else this name at Twilio; `None` if there is none.
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

/// How far a user's last send has come, for that user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Its state.
    pub state: SendState,
    /// Why it failed: a word from a closed set.
    pub reason: Option<String>,
    /// Since when it is so.
    pub updated_at: DateTime<Utc>,
}

/// Stores a send, pending; answers its id.
///
/// Fails with [`StoreError::UserGone`] if there is no such user.
pub async fn insert(
    conn: &mut PgConnection,
    keyring: &Keyring,
    send: &NewSend,
) -> Result<Uuid, StoreError> {
    let id = Uuid::new_v4();
    let recipient_index = keyring.blind_index(send.to.as_str());
    let message = serde_json::json!([send.to.as_str(), send.body]).to_string();
    sqlx::query!(
        "insert into pigeonhole.sends (id, user_id, purpose, recipient_index, sealed, expires_at)
         values ($1, $2, $3, $4, $5, clock_timestamp() + make_interval(secs => $6))",
        id,
        send.user_id,
        send.purpose.as_str(),
        recipient_index.as_str(),
        keyring.seal(&sealed_column(id), message.as_bytes())?,
        send.life.as_secs_f64(),
    )
    .execute(conn)
    .await
    .map_err(StoreError::writing_for_user(TABLE))?;
    Ok(id)
}

/// The send, if it is there. An error when recipient and text are there and do not open.
pub async fn load(
    conn: &mut PgConnection,
    keyring: &Keyring,
    id: Uuid,
) -> Result<Option<Send>, StoreError> {
    let row = sqlx::query!(
        r#"select state, user_id, reply_kind, started_at is not null as "started!", sealed, posted_at,
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
        age: seconds(row.age),
        posted: row
            .posted_at
            .zip(row.since_posted)
            .map(|(at, since)| (at, seconds(since))),
    }))
}

/// Which of these names at Twilio belong to a send already.
pub async fn known_names(
    conn: &mut PgConnection,
    twilio_sids: &[String],
) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select twilio_sid as "sid!" from pigeonhole.sends where twilio_sid = any($1) order by twilio_sid"#,
        twilio_sids,
    )
    .fetch_all(conn)
    .await?)
}

/// How far the user's last send of this purpose to this number has come.
pub async fn last_to(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    purpose: Purpose,
    to: &E164,
) -> Result<Option<Progress>, StoreError> {
    let row = sqlx::query!(
        "select state, reason, updated_at from pigeonhole.sends
         where user_id = $1 and purpose = $2 and recipient_index = any($3)
         order by created_at desc, id limit 1",
        user_id,
        purpose.as_str(),
        &keyring.blind_indexes(to.as_str()),
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(Progress {
            state: SendState::parse(&row.state)?,
            reason: row.reason,
            updated_at: row.updated_at,
        })
    })
    .transpose()
}

/// How many sends of this purpose to this number the user had within `window` that did not fail, and how long ago the last
/// one was; `None` if there was none. One that could not be delivered has failed.
pub async fn recent_to(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    purpose: Purpose,
    to: &E164,
    window: Duration,
) -> Result<Option<(u32, Duration)>, StoreError> {
    let row = sqlx::query!(
        r#"select count(*) as "count!", extract(epoch from clock_timestamp() - max(created_at))::float8 as since
           from pigeonhole.sends
           where user_id = $1 and purpose = $2 and recipient_index = any($3)
               and created_at > statement_timestamp() - make_interval(secs => $4)
               and state not in ('undelivered', 'failed')"#,
        user_id,
        purpose.as_str(),
        &keyring.blind_indexes(to.as_str()),
        window.as_secs_f64(),
    )
    .fetch_one(conn)
    .await?;
    let count = u32::try_from(row.count).unwrap_or(u32::MAX);
    Ok(row.since.map(|since| (count, seconds(since))))
}

/// Ends sends that nobody has begun within their life, erases recipient and text of those whose life ended an hour ago, and
/// deletes rows older than `age`; answers how many changed.
///
/// Until then an SMS whose fate is not known can be found among Twilio's. A row that somebody is at work on is left for
/// the next time.
pub async fn delete_expired(conn: &mut PgConnection, age: Duration) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "delete from pigeonhole.sends where id in (
             select id from pigeonhole.sends
             where created_at < statement_timestamp() - make_interval(secs => $1) for update skip locked)",
        age.as_secs_f64(),
    )
    .execute(&mut *conn)
    .await?;
    // Their job ends them, unless it is a dead letter or its kind is paused.
    let expired = sqlx::query!(
        "update pigeonhole.sends set state = 'failed', reason = 'expired', sealed = null, updated_at = clock_timestamp()
         where id in (
             select id from pigeonhole.sends
             where sealed is not null and state = 'pending' and expires_at < statement_timestamp()
             for update skip locked)",
    )
    .execute(&mut *conn)
    .await?;
    let erased = sqlx::query!(
        "update pigeonhole.sends set sealed = null where id in (
             select id from pigeonhole.sends
             where sealed is not null and expires_at < statement_timestamp() - interval '1 hour'
             for update skip locked)",
    )
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected() + expired.rows_affected() + erased.rows_affected())
}

fn open_message(keyring: &Keyring, id: Uuid, sealed: &[u8]) -> Result<(E164, String), StoreError> {
    let message = keyring.open(&sealed_column(id), sealed)?;
    // Only we can have sealed it, so another shape means another version; its error would quote the text.
    serde_json::from_slice::<(String, String)>(&message)
        .ok()
        .and_then(|(to, body)| Some((E164::parse(&to).ok()?, body)))
        .ok_or(StoreError::UnknownValue {
            table: TABLE,
            column: "sealed",
        })
}

fn sealed_column(id: Uuid) -> Context {
    Context::new(TABLE, "sealed", id)
}
