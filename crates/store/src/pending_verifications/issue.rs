//! Issues codes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::code::Code;
use super::columns::{TABLE, column};
use super::locked::LockedVerification;
use crate::clock::seconds;
use crate::e164::E164;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::users;

/// A code that expires sooner is not issued again.
const LEAST_LIFE: Duration = Duration::from_mins(1);

/// A code to be sent.
#[derive(Debug, Clone)]
pub struct IssuedCode {
    /// The code.
    pub code: Code,
    /// When it expires, by the database's clock.
    pub expires_at: DateTime<Utc>,
    /// How long that is from now.
    pub life: Duration,
}

/// Begins the verification of a number for a user and issues a code for it. If the user has a code
/// for the same number that is valid for another minute at least, that code is issued again and
/// keeps its expiry. Anything else of an earlier verification is replaced.
///
/// Fails with [`StoreError::UserGone`] if there is no such user.
pub async fn issue_code(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
    life: Duration,
) -> Result<IssuedCode, StoreError> {
    let mut tx = conn.begin().await?;
    if !users::hold(&mut tx, user_id).await? {
        return Err(StoreError::UserGone { table: TABLE });
    }
    let before = LockedVerification::of_user(&mut tx, user_id).await?;
    let issued = match before.and_then(|row| reissue(row, keyring, user_id, number)) {
        Some(issued) => issued,
        None => write_new(&mut tx, keyring, user_id, number, life).await?,
    };
    tx.commit().await?;
    Ok(issued)
}

/// The same code again. A code that does not open is treated as none.
fn reissue(
    row: LockedVerification,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
) -> Option<IssuedCode> {
    let (expires_at, life) = (row.expires_at, seconds(row.seconds));
    let sealed = row
        .valid_code(keyring, number)
        .filter(|_| life >= LEAST_LIFE)?;
    let code = keyring
        .open(&column("sealed_code", user_id), &sealed)
        .ok()?;
    Some(IssuedCode {
        code: Code::parse(&code)?,
        expires_at,
        life,
    })
}

/// Writes a verification with a new code over the previous one.
async fn write_new(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
    life: Duration,
) -> Result<IssuedCode, StoreError> {
    let code = Code::random()?;
    let sealed_number = keyring.seal(
        &column("sealed_number", user_id),
        number.as_str().as_bytes(),
    )?;
    let index = keyring.blind_index(number.as_str());
    let expires_at = sqlx::query_scalar!(
        "insert into pigeonhole.pending_verifications
             (user_id, number_index, sealed_number, sealed_code, code_expires_at, requested_at)
         values ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5), clock_timestamp())
         on conflict (user_id) do update set
             number_index = excluded.number_index, sealed_number = excluded.sealed_number,
             sealed_code = excluded.sealed_code, code_expires_at = excluded.code_expires_at,
             wrong_tries = 0, requested_at = excluded.requested_at
         returning code_expires_at",
        user_id,
        index.as_str(),
        sealed_number,
        keyring.seal(&column("sealed_code", user_id), code.as_str().as_bytes())?,
        life.as_secs_f64(),
    )
    .fetch_one(conn)
    .await?;
    Ok(IssuedCode {
        code,
        expires_at,
        life,
    })
}
