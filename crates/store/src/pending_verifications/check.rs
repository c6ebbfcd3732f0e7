//! Checks codes, and limits how many.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::code::is_right;
use super::columns::{TABLE, column};
use super::locked::{LockedVerification, MOST_WRONG_TRIES, remove};
use crate::e164::E164;
use crate::error::{StoreError, expect_one};
use crate::keyring::Keyring;
use crate::limit_log::{self, Limit};
use crate::user_phone_numbers;
use crate::users;

/// Codes of a user that are checked within an hour.
pub const MOST_CHECKS_AN_HOUR: u32 = 10;

/// The result of entering a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeCheck {
    /// It was right: the number belongs to this user now, and to no other.
    Proved,
    /// It was wrong, and counts.
    Wrong,
    /// There is no code to check: no verification of this number is pending, or its code was used,
    /// has expired or was guessed wrong too often.
    NoCode,
    /// Too many codes were entered: none is checked for this long.
    TooMany(Duration),
}

/// Checks a code that a user entered for a number, in the caller's transaction, which must be
/// committed also when the code was wrong. Concurrent checks of a user wait for each other, so that
/// no more codes are checked than the limit allows.
pub async fn check(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
    code: &str,
) -> Result<CodeCheck, StoreError> {
    let mut tx = conn.begin().await?;
    let checked = if users::hold(&mut tx, user_id).await? {
        check_held(&mut tx, keyring, user_id, number, code).await?
    } else {
        CodeCheck::NoCode
    };
    tx.commit().await?;
    Ok(checked)
}

async fn check_held(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
    guess: &str,
) -> Result<CodeCheck, StoreError> {
    let row = LockedVerification::of_user(conn, user_id).await?;
    let Some(sealed_code) = row.and_then(|row| row.valid_code(keyring, number)) else {
        return Ok(CodeCheck::NoCode);
    };
    // Only the transaction that has locked the row counts for this user, so no other lock is
    // needed.
    let limits = [Limit {
        key: format!("check:{user_id}"),
        most: MOST_CHECKS_AN_HOUR,
        window: Duration::from_hours(1),
    }];
    if let Some(exceeded) = limit_log::exceeded(conn, keyring, &limits).await? {
        return Ok(CodeCheck::TooMany(exceeded.wait));
    }
    limit_log::record(conn, keyring, &limits).await?;
    let code = keyring.open(&column("sealed_code", user_id), &sealed_code)?;
    if is_right(guess, &code) {
        remove(conn, user_id).await?;
        user_phone_numbers::prove(conn, keyring, user_id, number).await?;
        return Ok(CodeCheck::Proved);
    }
    let done = sqlx::query!(
        "update pigeonhole.pending_verifications set wrong_tries = wrong_tries + 1,
             sealed_code = case when wrong_tries + 1 < $2::smallint then sealed_code end
         where user_id = $1",
        user_id,
        MOST_WRONG_TRIES,
    )
    .execute(conn)
    .await?;
    expect_one(&done, TABLE, user_id)?;
    Ok(CodeCheck::Wrong)
}
