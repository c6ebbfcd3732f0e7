//! `pigeonhole.sends`: one row an outgoing SMS, from the wish to send it to its delivery.
//!
//! Its state only moves up: pending, sending, unknown, sent, then undelivered or failed, then delivered. The two steps
//! back, from `sending` to `pending`, are for when Twilio certainly did nothing ([`give_back`]).

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{E164, Keyring, StoreError};

/// What an SMS is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It carries a verification code.
    Verification,
}

/// How far a send has come. Ordered: it only moves up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SendState {
    /// Its job has not begun it.
    Pending,
    /// Twilio is being asked, or somebody died over it.
    Sending,
    /// Whether Twilio has it is not known.
    Unknown,
    /// Twilio has it.
    Sent,
    /// Twilio could not deliver it.
    Undelivered,
    /// It was not sent, for good.
    Failed,
    /// It has arrived.
    Delivered,
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
    /// Recipient and text; `None` once they were erased.
    pub message: Option<(E164, String)>,
    /// How long it may still be sent, by the database's clock; zero once that is over.
    pub life: Duration,
    /// Since when it exists.
    pub age: Duration,
    /// When Twilio was about to be asked, and how long ago that is.
    pub posted: Option<(DateTime<Utc>, Duration)>,
}

impl fmt::Debug for Send {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Send({}, {:?}, [sealed])", self.id, self.state)
    }
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

/// What moves a send up.
#[derive(Debug, Clone, Copy)]
pub struct Move<'a> {
    /// Where to.
    pub state: SendState,
    /// Twilio's name for it, if known; a name once given stays.
    pub twilio_sid: Option<&'a str>,
    /// Why, if it failed: a word from a closed set.
    pub reason: Option<&'a str>,
    /// Twilio's error code, if it told one.
    pub error_code: Option<u32>,
}

/// Stores a send, pending; answers its id.
pub async fn insert(
    conn: &mut PgConnection,
    keyring: &Keyring,
    send: &NewSend,
) -> Result<Uuid, StoreError> {
    todo!()
}

/// The send, if it is there.
pub async fn load(
    conn: &mut PgConnection,
    keyring: &Keyring,
    id: Uuid,
) -> Result<Option<Send>, StoreError> {
    todo!()
}

/// From pending to sending, if it is still pending: whoever gets `true` here, and nobody else, may ask Twilio, once.
/// Not if its life is over.
pub async fn start(conn: &mut PgConnection, id: Uuid) -> Result<bool, StoreError> {
    todo!()
}

/// From sending back to pending: Twilio certainly did nothing. Answers whether it was still sending.
pub async fn give_back(conn: &mut PgConnection, id: Uuid) -> Result<bool, StoreError> {
    todo!()
}

/// Moves a send up; answers false when there is none, or it has come as far already. A send that ends loses recipient and
/// text. Twilio's name is kept in any case, if it has none yet. Sid taken by another send: answers false, changes nothing.
pub async fn advance(conn: &mut PgConnection, id: Uuid, to: Move<'_>) -> Result<bool, StoreError> {
    todo!()
}

/// [`advance`] for whichever send has this name at Twilio (`to.twilio_sid` is ignored).
pub async fn advance_named(
    conn: &mut PgConnection,
    twilio_sid: &str,
    to: Move<'_>,
) -> Result<bool, StoreError> {
    todo!()
}

/// Which of these names at Twilio belong to a send already.
pub async fn known_names(
    conn: &mut PgConnection,
    twilio_sids: &[String],
) -> Result<Vec<String>, StoreError> {
    todo!()
}

/// How far the user's last send of this purpose to this number has come.
pub async fn last_to(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    purpose: Purpose,
    to: &E164,
) -> Result<Option<Progress>, StoreError> {
    todo!()
}

/// How many sends of this purpose to this number the user had within `window` that did not fail, and how long ago the last
/// one was.
pub async fn recent_to(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    purpose: Purpose,
    to: &E164,
    window: Duration,
) -> Result<Option<(u32, Duration)>, StoreError> {
    todo!()
}

/// Ends the user's sends that nobody has begun: `failed`, for this reason. Answers how many.
pub async fn cancel_pending(
    conn: &mut PgConnection,
    user_id: Uuid,
    reason: &str,
) -> Result<u64, StoreError> {
    todo!()
}

/// Erases recipient and text of sends whose life ended an hour ago, and rows older than `age`; answers how many changed.
pub async fn forget(conn: &mut PgConnection, age: Duration) -> Result<u64, StoreError> {
    todo!()
}
