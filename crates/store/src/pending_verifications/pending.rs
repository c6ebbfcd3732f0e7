//! Reads a user's verification, and deletes old ones.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::columns::{TABLE, column};
use super::locked::MOST_WRONG_TRIES;
use crate::e164::E164;
use crate::error::StoreError;
use crate::keyring::Keyring;

/// The number that a user is verifying, for that user.
#[derive(Debug, Clone)]
pub struct PendingVerification {
    /// The number.
    pub number: E164,
    /// When its code expires; `None` when there is no code that could still be entered.
    pub code_expires_at: Option<DateTime<Utc>>,
}

/// Returns the user's pending verification.
pub async fn of_user(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
) -> Result<Option<PendingVerification>, StoreError> {
    let row = sqlx::query!(
        r#"select sealed_number,
               case when sealed_code is not null and code_expires_at > clock_timestamp()
                   and wrong_tries < $2 then code_expires_at end as code_expires_at
           from pigeonhole.pending_verifications where user_id = $1"#,
        user_id,
        MOST_WRONG_TRIES,
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        let number = keyring.open(&column("sealed_number", user_id), &row.sealed_number)?;
        let number = str::from_utf8(&number)
            .ok()
            .and_then(|n| E164::parse(n).ok());
        Ok(PendingVerification {
            number: number.ok_or(StoreError::UnknownValue {
                table: TABLE,
                column: "sealed_number",
            })?,
            code_expires_at: row.code_expires_at,
        })
    })
    .transpose()
}

/// Erases expired codes, and deletes verifications that are older than `age`. Returns how many rows
/// changed. It skips locked rows until the next call.
pub async fn delete_expired(conn: &mut PgConnection, age: Duration) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "delete from pigeonhole.pending_verifications where user_id in (
             select user_id from pigeonhole.pending_verifications
             where requested_at < clock_timestamp() - make_interval(secs => $1)
             for update skip locked)",
        age.as_secs_f64(),
    )
    .execute(&mut *conn)
    .await?;
    let erased = sqlx::query!(
        "update pigeonhole.pending_verifications set sealed_code = null where user_id in (
             select user_id from pigeonhole.pending_verifications
             where sealed_code is not null and code_expires_at <= clock_timestamp()
             for update skip locked)",
    )
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected() + erased.rows_affected())
}
