//! Finds and lists numbers.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::rows::sealed_column;
use crate::e164::E164;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::number_variants::stored_number_variants;

/// A user's number, opened.
#[derive(Debug, Clone)]
pub struct PhoneNumber {
    /// The row's id.
    pub id: Uuid,
    /// The user of the row.
    pub user_id: Uuid,
    /// The number; `None` when no key of the ring opens it, or it is not in E.164 form.
    pub number: Option<E164>,
    /// Whether the user has proved that it is theirs.
    pub verified: bool,
    /// When the row was made.
    pub created_at: Option<DateTime<Utc>>,
}

/// Returns the user for whom this number is verified; of several, the one with the newest row.
pub async fn find_verified_user(
    conn: &mut PgConnection,
    keyring: &Keyring,
    number: &E164,
) -> Result<Option<Uuid>, StoreError> {
    Ok(sqlx::query_scalar!(
        "select user_id from user_phone_numbers where phone_number = any($1) and verified
         order by created_at desc nulls last, id limit 1",
        &stored_number_variants(keyring, number.as_str()),
    )
    .fetch_optional(conn)
    .await?)
}

/// Returns whether the user has another verified number than this one.
pub async fn has_another(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
               select from user_phone_numbers where user_id = $1 and verified and phone_number <> all($2)
           ) as "exists!""#,
        user_id,
        &stored_number_variants(keyring, number.as_str()),
    )
    .fetch_one(conn)
    .await?)
}

/// Returns the user's number: a verified one before others, then the newest. A row that does not
/// open has no number.
pub async fn of_user(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
) -> Result<Option<PhoneNumber>, StoreError> {
    let row = sqlx::query_as!(
        SealedNumber,
        r#"select id, user_id, encrypted_phone_number, coalesce(verified, false) as "verified!",
                  created_at::timestamptz as created_at
           from user_phone_numbers where user_id = $1
           order by coalesce(verified, false) desc, created_at desc nulls last, id limit 1"#,
        user_id,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| row.open(keyring)))
}

/// Lists every number, or one user's, opened, the oldest first. A row that does not open has no
/// number.
pub async fn list(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Option<Uuid>,
) -> Result<Vec<PhoneNumber>, StoreError> {
    let rows = sqlx::query_as!(
        SealedNumber,
        r#"select id, user_id, encrypted_phone_number, coalesce(verified, false) as "verified!",
                  created_at::timestamptz as created_at
           from user_phone_numbers where $1::uuid is null or user_id = $1
           order by created_at, id"#,
        user_id,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row.open(keyring)).collect())
}

struct SealedNumber {
    id: Uuid,
    user_id: Uuid,
    encrypted_phone_number: String,
    verified: bool,
    created_at: Option<DateTime<Utc>>,
}

impl SealedNumber {
    fn open(self, keyring: &Keyring) -> PhoneNumber {
        let number =
            keyring.open_text_or_legacy(&sealed_column(self.id), &self.encrypted_phone_number);
        PhoneNumber {
            id: self.id,
            user_id: self.user_id,
            number: number.ok().and_then(|number| E164::parse(&number).ok()),
            verified: self.verified,
            created_at: self.created_at,
        }
    }
}
