//! Judges codes, and bounds how many.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::code::is_right;
use super::{Locked, MOST_WRONG_TRIES, TABLE, column, remove};
use crate::limit_log::{self, Limit};
use crate::{E164, Keyring, StoreError, expect_one, user_phone_numbers, users};

/// Codes that a user may have judged within an hour.
pub const MOST_CHECKS_AN_HOUR: u32 = 10;

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

/// Judges a code that a user entered for a number, in the caller's transaction, which must be committed also when the
/// code was wrong. Concurrent guesses wait for one another, so that no more are judged than may be.
pub async fn check(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
    code: &str,
) -> Result<Checked, StoreError> {
    let mut tx = conn.begin().await?;
    let checked = if users::hold(&mut tx, user_id).await? {
        judge(&mut tx, keyring, user_id, number, code).await?
    } else {
        Checked::NoCode
    };
    tx.commit().await?;
    Ok(checked)
}

async fn judge(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
    guess: &str,
) -> Result<Checked, StoreError> {
    let row = Locked::row(conn, user_id).await?;
    let Some(sealed_code) = row.and_then(|row| row.good_code(keyring, number)) else {
        return Ok(Checked::NoCode);
    };
    // Whoever holds the row is the only one to count for this user, so this needs no other lock.
    let limits = [Limit {
        key: format!("check:{user_id}"),
        most: MOST_CHECKS_AN_HOUR,
        window: Duration::from_hours(1),
    }];
    if let Some(exceeded) = limit_log::exceeded(conn, keyring, &limits).await? {
        return Ok(Checked::TooMany(exceeded.wait));
    }
    limit_log::record(conn, keyring, &limits).await?;
    let code = keyring.open(&column("sealed_code", user_id), &sealed_code)?;
    if is_right(guess, &code) {
        remove(conn, user_id).await?;
        user_phone_numbers::prove(conn, keyring, user_id, number).await?;
        return Ok(Checked::Proved);
    }
    let done = sqlx::query!(
        "update pigeonhole.phone_number_claims set wrong_tries = wrong_tries + 1,
             sealed_code = case when wrong_tries + 1 < $2::smallint then sealed_code end
         where user_id = $1",
        user_id,
        MOST_WRONG_TRIES,
    )
    .execute(conn)
    .await?;
    expect_one(&done, TABLE, user_id)?;
    Ok(Checked::Wrong)
}
