//! `pigeonhole.inbound_messages`: the durable inbox. A row makes a repeat of its webhook harmless.

mod fail;
mod finish;
pub mod ledger;
mod open;
mod replay;
mod retention;

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::fail::{fail, not_ended};
pub use self::finish::{Finish, Finished, Found, finish_all};
pub use self::open::{Changed, Slot, Taken, keep_slots, load_all, senders};
pub use self::replay::{hold, replayed, user_of};
pub use self::retention::erase;
use crate::clock::seconds;
use crate::{Context, Keyring, StoreError, expect_one};

const TABLE: &str = "pigeonhole.inbound_messages";

/// A message as its webhook brought it. `Debug` hides who sent it and what it says.
pub struct NewMessage {
    /// Twilio's id of the message: what makes a repeat a repeat.
    pub message_sid: String,
    /// The Twilio account it came to.
    pub account_sid: String,
    /// The address it came from, usually an E.164 number. Kept as its blind index.
    pub sender: String,
    /// Every field of the webhook, in its order. Kept sealed.
    pub fields: Vec<(String, String)>,
}

/// A message as it will be written: nothing of it is readable any more.
#[derive(Debug, Clone)]
pub struct SealedMessage {
    message_sid: String,
    account_sid: String,
    sender_index: String,
    sealed: Vec<u8>,
}

/// The job that each accepted message gets.
#[derive(Debug, Clone, Copy)]
pub struct AcceptJob {
    /// The kind of job.
    pub kind: &'static str,
    /// How many attempts it has.
    pub max_attempts: i16,
}

/// A message to accept, with what is particular to its job.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// The message.
    pub message: SealedMessage,
    /// The job's arguments, as JSON.
    pub job_args: String,
    /// The trace context that the job goes on with.
    pub trace: Option<String>,
}

/// A message as it was kept. `Debug` hides its fields.
pub struct StoredMessage {
    /// Twilio's id of the message.
    pub message_sid: String,
    /// The Twilio account it came to.
    pub account_sid: String,
    /// When the receiver stored it, by the database's clock.
    pub received_at: DateTime<Utc>,
    /// How long ago that is.
    pub age: Duration,
    /// How far it has come.
    pub state: MessageState,
    /// Every field of the webhook, in its order; `None` once retention has erased them.
    pub fields: Option<Vec<(String, String)>>,
    /// How long until its place within its user's rate limit, if it has been given one; zero once that has come.
    pub slot_in: Option<Duration>,
}

/// A message that has ended, without what it says.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Twilio's id of the message.
    pub message_sid: String,
    /// How it ended.
    pub state: MessageState,
    /// When the receiver stored it, by the database's clock.
    pub received_at: DateTime<Utc>,
    /// When it ended, by the database's clock.
    pub finished_at: DateTime<Utc>,
}

/// How far a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageState {
    /// Stored; its job has not finished.
    Received,
    /// Its items are written.
    Processed,
    /// It could not be processed; its user has been told.
    Failed,
    /// Its user had sent too many.
    RateLimited,
    /// Its sender's number is verified for nobody, so it made no items.
    IgnoredUnlinked,
    /// Enrichment was switched off when its turn came.
    IgnoredDisabled,
    /// It asked us to send no more.
    KeywordStop,
    /// It asked us to send again.
    KeywordStart,
    /// It asked for help.
    KeywordHelp,
}

/// The states in which a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinalState {
    /// Its items are written.
    Processed,
    /// It could not be processed; its user has been told.
    Failed,
    /// Its user had sent too many.
    RateLimited,
    /// Its sender's number is verified for nobody, so it made no items.
    IgnoredUnlinked,
    /// Enrichment was switched off when its turn came.
    IgnoredDisabled,
    /// It asked us to send no more.
    KeywordStop,
    /// It asked us to send again.
    KeywordStart,
    /// It asked for help.
    KeywordHelp,
}

impl NewMessage {
    /// Seals the message. Costs processor time and no connection.
    pub fn seal(&self, keyring: &Keyring) -> Result<SealedMessage, StoreError> {
        let context = sealed_column(&self.message_sid);
        let fields = serde_json::to_vec(&self.fields).map_err(|_| StoreError::Seal {
            table: TABLE,
            column: "sealed",
        })?;
        Ok(SealedMessage {
            message_sid: self.message_sid.clone(),
            account_sid: self.account_sid.clone(),
            sender_index: keyring.blind_index(&self.sender).as_str().to_owned(),
            sealed: keyring.seal(&context, &fields)?,
        })
    }
}

impl SealedMessage {
    /// Twilio's id of the message.
    pub fn message_sid(&self) -> &str {
        &self.message_sid
    }
}

/// Stores messages and enqueues a job for each, in one statement. Answers the SIDs of those that are new; for one that
/// is there already nothing changes. The SIDs must differ.
///
/// The jobs of a sender share a lane, so that a sender's backlog holds up nobody else.
pub async fn accept_all(
    conn: &mut PgConnection,
    job: AcceptJob,
    acceptances: &[Acceptance],
) -> Result<Vec<String>, StoreError> {
    let column = |of: fn(&Acceptance) -> &str| -> Vec<String> {
        acceptances
            .iter()
            .map(|acceptance| of(acceptance).to_owned())
            .collect()
    };
    let sealed: Vec<Vec<u8>> = acceptances
        .iter()
        .map(|a| a.message.sealed.clone())
        .collect();
    let traces: Vec<Option<String>> = acceptances.iter().map(|a| a.trace.clone()).collect();
    Ok(sqlx::query_scalar!(
        r#"select pigeonhole.accept($1, $2, $3, $4, $5, $6, $7, $8) as "sid!""#,
        &column(|a| &a.message.message_sid),
        &column(|a| &a.message.account_sid),
        &column(|a| &a.message.sender_index),
        &sealed,
        job.kind,
        job.max_attempts,
        &column(|a| &a.job_args),
        &traces as &[Option<String>],
    )
    .fetch_all(conn)
    .await?)
}

/// The message with this SID, opened; `None` when there is none. An error when its fields do not open.
pub async fn load(
    conn: &mut PgConnection,
    keyring: &Keyring,
    message_sid: &str,
) -> Result<Option<StoredMessage>, StoreError> {
    let row = sqlx::query!(
        r#"select message_sid, account_sid, received_at, state, sealed,
               extract(epoch from slot_at - clock_timestamp())::float8 as slot_in,
               extract(epoch from clock_timestamp() - received_at)::float8 as "age!"
           from pigeonhole.inbound_messages where message_sid = $1"#,
        message_sid,
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let open = |sealed: Vec<u8>| open_fields(keyring, message_sid, &sealed);
    Ok(Some(StoredMessage {
        state: MessageState::parse(&row.state)?,
        fields: row.sealed.map(open).transpose()?,
        message_sid: row.message_sid,
        account_sid: row.account_sid,
        received_at: row.received_at,
        age: seconds(row.age),
        slot_in: row.slot_in.map(seconds),
    }))
}

/// Ends a message, with the user it turned out to belong to. An error if it is not there or has ended already, and
/// [`StoreError::UserGone`] if the user was deleted meanwhile.
pub async fn finish(
    conn: &mut PgConnection,
    message_sid: &str,
    state: FinalState,
    user_id: Option<Uuid>,
) -> Result<(), StoreError> {
    let done = sqlx::query!(
        "update pigeonhole.inbound_messages set state = $2, user_id = $3, finished_at = now()
         where message_sid = $1 and state = 'received'",
        message_sid,
        MessageState::from(state).as_str(),
        user_id,
    )
    .execute(conn)
    .await
    .map_err(StoreError::writing_for_user(TABLE))?;
    expect_one(&done, TABLE, message_sid)
}

/// How far the message with this SID has come; `None` when there is none.
pub async fn state_of(
    conn: &mut PgConnection,
    message_sid: &str,
) -> Result<Option<MessageState>, StoreError> {
    let state = sqlx::query_scalar!(
        "select state from pigeonhole.inbound_messages where message_sid = $1",
        message_sid,
    )
    .fetch_optional(conn)
    .await?;
    state.map(|text| MessageState::parse(&text)).transpose()
}

/// The messages that ended after `since`, at most 10,000, the oldest end first. The time is that of the transaction's start,
/// so one may still appear that ended a moment before another.
pub async fn ended_since(
    conn: &mut PgConnection,
    since: DateTime<Utc>,
) -> Result<Vec<Ended>, StoreError> {
    let rows = sqlx::query!(
        r#"select message_sid, state, received_at, finished_at as "finished_at!"
           from pigeonhole.inbound_messages where finished_at > $1
           order by finished_at, message_sid limit 10000"#,
        since,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Ended {
                state: MessageState::parse(&row.state)?,
                message_sid: row.message_sid,
                received_at: row.received_at,
                finished_at: row.finished_at,
            })
        })
        .collect()
}

fn sealed_column(message_sid: &str) -> Context {
    Context::new(TABLE, "sealed", message_sid)
}

fn open_fields(
    keyring: &Keyring,
    message_sid: &str,
    sealed: &[u8],
) -> Result<Vec<(String, String)>, StoreError> {
    let fields = keyring.open(&sealed_column(message_sid), sealed)?;
    // Only we can have sealed it, so another shape means another version; its error would quote the message.
    serde_json::from_slice(&fields).map_err(|_| StoreError::UnknownValue {
        table: TABLE,
        column: "sealed",
    })
}

impl MessageState {
    /// All there are.
    pub const ALL: [Self; 9] = [
        Self::Received,
        Self::Processed,
        Self::Failed,
        Self::RateLimited,
        Self::IgnoredUnlinked,
        Self::IgnoredDisabled,
        Self::KeywordStop,
        Self::KeywordStart,
        Self::KeywordHelp,
    ];

    /// The text that stands in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Processed => "processed",
            Self::Failed => "failed",
            Self::RateLimited => "rate_limited",
            Self::IgnoredUnlinked => "ignored_unlinked",
            Self::IgnoredDisabled => "ignored_disabled",
            Self::KeywordStop => "keyword_stop",
            Self::KeywordStart => "keyword_start",
            Self::KeywordHelp => "keyword_help",
        }
    }

    /// The state that this text stands for.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(StoreError::UnknownValue {
                table: TABLE,
                column: "state",
            })
    }
}

impl From<FinalState> for MessageState {
    fn from(state: FinalState) -> Self {
        match state {
            FinalState::Processed => Self::Processed,
            FinalState::Failed => Self::Failed,
            FinalState::RateLimited => Self::RateLimited,
            FinalState::IgnoredUnlinked => Self::IgnoredUnlinked,
            FinalState::IgnoredDisabled => Self::IgnoredDisabled,
            FinalState::KeywordStop => Self::KeywordStop,
            FinalState::KeywordStart => Self::KeywordStart,
            FinalState::KeywordHelp => Self::KeywordHelp,
        }
    }
}

impl fmt::Debug for NewMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewMessage({}, [sealed])", self.message_sid)
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
