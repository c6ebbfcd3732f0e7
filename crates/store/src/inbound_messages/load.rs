//! Reads stored messages and opens what they say.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use queue::rate_limit::RateLimitSnapshot;
use sqlx::PgConnection;
use uuid::Uuid;

use super::columns::open_fields;
use super::rate_key::{RATE_KEY_PREFIX, rate_key};
use super::state::MessageState;
use crate::clock::seconds;
use crate::error::StoreError;
use crate::keyring::Keyring;

/// A message as it was stored. `Debug` hides its fields.
pub struct StoredMessage {
    /// Twilio's id of the message.
    pub message_sid: String,
    /// The Twilio account that received it.
    pub account_sid: String,
    /// When it was stored, by the database's clock.
    pub received_at: DateTime<Utc>,
    /// When Twilio received it, if it was recovered.
    pub sent_at: Option<DateTime<Utc>>,
    /// How long ago that is.
    pub age: Duration,
    /// How far it has come.
    pub state: MessageState,
    /// Every field of the webhook, in its order; `None` after the cleanup has erased them.
    pub fields: Option<Vec<(String, String)>>,
    /// How long until its reservation in its user's rate limit, if it has one; zero after it.
    pub starts_in: Option<Duration>,
}

impl StoredMessage {
    /// When its sender sent it, at the latest: see [`sent_by`].
    pub fn sent_by(&self) -> DateTime<Utc> {
        sent_by(self.sent_at, self.received_at)
    }
}

/// When the sender of a message sent it, at the latest. A webhook comes at once. Twilio's list gives
/// whole seconds; what happened within that second counts as before the message.
pub fn sent_by(sent_at: Option<DateTime<Utc>>, received_at: DateTime<Utc>) -> DateTime<Utc> {
    const LAST_OF_SECOND: TimeDelta = TimeDelta::microseconds(999_999);
    sent_at.map_or(received_at, |second| second + LAST_OF_SECOND)
}

/// Returns the message with this SID, opened; `None` when there is none. An error when its fields
/// do not open.
pub async fn load(
    conn: &mut PgConnection,
    keyring: &Keyring,
    message_sid: &str,
) -> Result<Option<StoredMessage>, StoreError> {
    let row = sqlx::query_as!(
        SealedRow,
        r#"select message_sid as "message_sid!", account_sid as "account_sid!",
               received_at as "received_at!", sent_at, state as "state!", sealed,
               extract(epoch from reserved_for - clock_timestamp())::float8 as starts_in,
               extract(epoch from clock_timestamp() - received_at)::float8 as "age!"
           from pigeonhole.inbound_messages where message_sid = $1"#,
        message_sid,
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| row.open(keyring)).transpose()
}

/// Messages that were opened together.
#[derive(Debug)]
pub struct OpenedMessages {
    /// The messages, in the order of the list; `None` for one that does not exist. An error stands
    /// in place of a message whose fields do not open, and affects no other.
    pub messages: Vec<Option<Result<StoredMessage, StoreError>>>,
    /// The users who were found by the blind index of the sender, by SID. A number that is stored
    /// in another form needs [`users_by_number`](super::users_by_number()).
    pub users: HashMap<String, Uuid>,
    /// The rate-limit keys of these users.
    pub limits: RateLimitSnapshot,
}

/// Opens the messages with these SIDs.
pub async fn load_all(
    conn: &mut PgConnection,
    keyring: &Keyring,
    message_sids: &[String],
) -> Result<OpenedMessages, StoreError> {
    let rows = sqlx::query!(
        r#"select message_sid as "message_sid!", account_sid as "account_sid!",
               received_at as "received_at!", sent_at, state as "state!", sealed, starts_in, user_id,
               tat_ns as "tat_ns!", now as "now!",
               extract(epoch from now - received_at)::float8 as "age!"
           from pigeonhole.open_messages_v3($1, $2)"#,
        message_sids,
        RATE_KEY_PREFIX,
    )
    .fetch_all(conn)
    .await?;
    let (mut opened, mut users) = (HashMap::new(), HashMap::new());
    let mut limits = RateLimitSnapshot::default();
    for row in rows {
        if let Some(user) = row.user_id {
            users.insert(row.message_sid.clone(), user);
            limits.record(rate_key(user), row.tat_ns, row.now);
        }
        let sealed = SealedRow {
            message_sid: row.message_sid.clone(),
            account_sid: row.account_sid,
            received_at: row.received_at,
            sent_at: row.sent_at,
            state: row.state,
            sealed: row.sealed,
            starts_in: row.starts_in,
            age: row.age,
        };
        opened.insert(row.message_sid, sealed.open(keyring));
    }
    Ok(OpenedMessages {
        messages: message_sids.iter().map(|sid| opened.remove(sid)).collect(),
        users,
        limits,
    })
}

struct SealedRow {
    message_sid: String,
    account_sid: String,
    received_at: DateTime<Utc>,
    sent_at: Option<DateTime<Utc>>,
    state: String,
    sealed: Option<Vec<u8>>,
    starts_in: Option<f64>,
    age: f64,
}

impl SealedRow {
    fn open(self, keyring: &Keyring) -> Result<StoredMessage, StoreError> {
        let open = |sealed: Vec<u8>| open_fields(keyring, &self.message_sid, &sealed);
        Ok(StoredMessage {
            fields: self.sealed.map(open).transpose()?,
            state: MessageState::parse(&self.state)?,
            message_sid: self.message_sid,
            account_sid: self.account_sid,
            received_at: self.received_at,
            sent_at: self.sent_at,
            age: seconds(self.age),
            starts_in: self.starts_in.map(seconds),
        })
    }
}

impl fmt::Debug for StoredMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "StoredMessage({}, {:?}, [sealed])",
            self.message_sid, self.state
        )
    }
}
