//! `user_phone_numbers`: which number belongs to which user. The app's table.
//!
//! A row of ours holds the number's blind index in `phone_number` and the number itself sealed. A row that the app
//! wrote holds the number in clear until [`seal_legacy`] has been run; every lookup finds both kinds, and rows written
//! under any key of the ring.

//!
//! Whatever changes whose a number is takes its turn (`Turn::Numbers`): numbers move rarely, and so no two changes
//! ever get in each other's way.

mod legacy;
mod owner;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::legacy::seal_legacy;
pub use self::owner::{hold_owner, link, prove, unlink, unlink_user};
use crate::{Context, E164, Keyring, StoreError};

const TABLE: &str = "user_phone_numbers";

/// One row, for the operator who asked for it.
#[derive(Debug, Clone)]
pub struct PhoneNumber {
    /// The row's id.
    pub id: Uuid,
    /// Whose number it is, or claims to be.
    pub user_id: Uuid,
    /// The number; `None` when no key of the ring opens it, or it is not in E.164 form.
    pub number: Option<E164>,
    /// Whether the user has shown that it is theirs.
    pub verified: bool,
    /// When the row was made.
    pub created_at: Option<DateTime<Utc>>,
}

/// The user for whom this number is verified; the newest claim, should there be several.
pub async fn find_verified_owner(
    conn: &mut PgConnection,
    keyring: &Keyring,
    number: &E164,
) -> Result<Option<Uuid>, StoreError> {
    Ok(sqlx::query_scalar!(
        "select user_id from user_phone_numbers where phone_number = any($1) and verified
         order by created_at desc nulls last, id limit 1",
        &forms(keyring, number.as_str()),
    )
    .fetch_optional(conn)
    .await?)
}

/// Does the user have another number than this one that is verified?
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
        &forms(keyring, number.as_str()),
    )
    .fetch_one(conn)
    .await?)
}

/// The user's number: a verified one before others, the newest first. A row that does not open comes without its number.
pub async fn of_user(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
) -> Result<Option<PhoneNumber>, StoreError> {
    let row = sqlx::query_as!(
        SealedRow,
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

/// Every number, or one user's, opened, the oldest first. A row that does not open is listed without its number.
pub async fn list(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Option<Uuid>,
) -> Result<Vec<PhoneNumber>, StoreError> {
    let rows = sqlx::query_as!(
        SealedRow,
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

struct SealedRow {
    id: Uuid,
    user_id: Uuid,
    encrypted_phone_number: String,
    verified: bool,
    created_at: Option<DateTime<Utc>>,
}

impl SealedRow {
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

/// What `phone_number` may hold for a number: its blind index under each key, or, in a row of the app's, the number.
pub(crate) fn forms(keyring: &Keyring, number: &str) -> Vec<String> {
    let mut forms = keyring.blind_indexes(number);
    forms.push(number.to_owned());
    forms
}

fn sealed_column(id: Uuid) -> Context {
    Context::new(TABLE, "encrypted_phone_number", id)
}

struct Row {
    id: Uuid,
    user_id: Uuid,
    verified: bool,
}

/// Locks every row there is for a number, the one that [`find_verified_owner`] prefers first.
async fn lock_rows(
    conn: &mut PgConnection,
    keyring: &Keyring,
    number: &str,
) -> Result<Vec<Row>, StoreError> {
    Ok(sqlx::query_as!(
        Row,
        r#"select id, user_id, coalesce(verified, false) as "verified!"
           from user_phone_numbers where phone_number = any($1)
           order by coalesce(verified, false) desc, created_at desc nulls last, id for update"#,
        &forms(keyring, number),
    )
    .fetch_all(conn)
    .await?)
}

async fn delete_others(
    conn: &mut PgConnection,
    rows: &[Row],
    keep: Option<Uuid>,
) -> Result<(), StoreError> {
    let others: Vec<Uuid> = rows
        .iter()
        .map(|row| row.id)
        .filter(|id| Some(*id) != keep)
        .collect();
    if !others.is_empty() {
        sqlx::query!("delete from user_phone_numbers where id = any($1)", &others)
            .execute(conn)
            .await?;
    }
    Ok(())
}
