//! `pigeonhole.phone_number_claims`: numbers that users say are theirs, and the codes that prove it.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{E164, Keyring, StoreError};

/// Wrong tries that end a code.
pub const MOST_WRONG_TRIES: i16 = 5;

/// Codes that a user may have judged within an hour.
pub const MOST_CHECKS_AN_HOUR: u32 = 10;

/// Six digits, 100000 to 999999. `Debug` prints `[sealed]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(String);

impl Code {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[sealed]")
    }
}

/// A code to be sent.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The code.
    pub code: Code,
    /// Until when it is good, by the database's clock.
    pub expires_at: DateTime<Utc>,
    /// How long that is from now.
    pub life: Duration,
}

/// A user's claim, for that user.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The number.
    pub number: E164,
    /// Until when its code is good; `None` when there is none that could still be entered.
    pub code_expires_at: Option<DateTime<Utc>>,
}

/// What came of entering a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// It was right: the number is the user's now, and nobody else's.
    Proved,
    /// It was wrong, and counts.
    Wrong,
    /// There is nothing to judge: no claim on this number, or its code was used, has expired or was guessed at too often.
    NoCode,
    /// Too many codes were entered: none is judged for this long.
    TooMany(Duration),
}

/// Claims a number for a user and issues a code for it. A code of theirs for the same number that is good for another
/// minute at least is issued again; anything else of an earlier claim gives way.
///
/// Fails with [`StoreError::UserGone`] if there is no such user.
pub async fn claim(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
    life: Duration,
) -> Result<Issued, StoreError> {
    todo!()
}

/// Judges a code that a user entered for a number, in the caller's transaction, which must be committed also when the
/// code was wrong. Concurrent guesses wait for one another, so that no more are judged than may be.
pub async fn check(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
    code: &str,
) -> Result<Checked, StoreError> {
    todo!()
}

/// The user's claim.
pub async fn of_user(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
) -> Result<Option<Claim>, StoreError> {
    todo!()
}

/// Forgets the user's claim and its code; answers whether there was one.
pub async fn remove(conn: &mut PgConnection, user_id: Uuid) -> Result<bool, StoreError> {
    todo!()
}

/// Erases codes that have expired, and claims that are older than `age`; answers how many rows changed.
pub async fn forget(conn: &mut PgConnection, age: Duration) -> Result<u64, StoreError> {
    todo!()
}
