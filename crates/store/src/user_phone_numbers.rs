//! `user_phone_numbers`: which number belongs to which user. The app's table.
//!
//! A row of ours holds the number's blind index in `phone_number` and the number itself sealed. A row that the app
//! wrote holds the number in clear until [`seal_legacy`] has been run; every lookup finds both kinds, and rows written
//! under any key of the ring.

mod legacy;

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

pub use self::legacy::seal_legacy;
use crate::{Context, E164, Keyring, StoreError, expect_one};

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

/// Links a number to a user, on an operator's word: afterwards it is verified for them and nobody else has a row for
/// it. Doing it again changes nothing that matters.
///
/// Fails with [`StoreError::AlreadyLinked`] if it is verified for another user, and [`StoreError::UserGone`] if there
/// is no such user. An unverified claim of another user gives way.
pub async fn link(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
) -> Result<(), StoreError> {
    let mut tx = conn.begin().await?;
    let rows = lock_rows(&mut tx, keyring, number.as_str()).await?;
    if rows
        .iter()
        .any(|row| row.verified && row.user_id != user_id)
    {
        return Err(StoreError::AlreadyLinked);
    }
    let mine = rows
        .iter()
        .find(|row| row.user_id == user_id)
        .map(|row| row.id);
    delete_others(&mut tx, &rows, mine).await?;
    let id = mine.unwrap_or_else(Uuid::new_v4);
    let index = keyring.blind_index(number.as_str());
    let done = sqlx::query!(
        "insert into user_phone_numbers (id, user_id, phone_number, encrypted_phone_number, verified)
         values ($1, $2, $3, $4, true)
         on conflict (id) do update set
             phone_number = excluded.phone_number, encrypted_phone_number = excluded.encrypted_phone_number,
             verified = true, verification_code = null, verification_expires_at = null",
        id,
        user_id,
        index.as_str(),
        keyring.seal_text(&sealed_column(id), number.as_str())?,
    )
    .execute(&mut *tx)
    .await
    .map_err(StoreError::writing_for_user(TABLE))?;
    expect_one(&done, TABLE, id)?;
    tx.commit().await?;
    Ok(())
}

/// Forgets a number, verified or claimed, whosever it is; returns how many rows went.
pub async fn unlink(
    conn: &mut PgConnection,
    keyring: &Keyring,
    number: &E164,
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "delete from user_phone_numbers where phone_number = any($1)",
        &forms(keyring, number.as_str()),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Makes a number that its user has just proved theirs: verified for them, and for nobody else. The newest proof wins:
/// whoever had it before loses it, and keeps their items. The user's other, unverified rows go.
pub async fn prove(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
) -> Result<(), StoreError> {
    todo!()
}

/// Does the user have another number than this one that is verified?
pub async fn has_another(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
) -> Result<bool, StoreError> {
    todo!()
}

/// The user's number: a verified one before others, the newest first.
pub async fn of_user(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
) -> Result<Option<PhoneNumber>, StoreError> {
    todo!()
}

/// Forgets all numbers of a user; returns how many rows went.
pub async fn unlink_user(conn: &mut PgConnection, user_id: Uuid) -> Result<u64, StoreError> {
    todo!()
}

/// Is the number still verified for this user? If so, nobody unlinks it before the transaction ends.
pub async fn hold_owner(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
) -> Result<bool, StoreError> {
    todo!()
}

/// Every number, or one user's, opened, the oldest first. A row that does not open is listed without its number.
pub async fn list(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Option<Uuid>,
) -> Result<Vec<PhoneNumber>, StoreError> {
    let rows = sqlx::query!(
        r#"select id, user_id, encrypted_phone_number, coalesce(verified, false) as "verified!",
                  created_at::timestamptz as created_at
           from user_phone_numbers where $1::uuid is null or user_id = $1
           order by created_at, id"#,
        user_id,
    )
    .fetch_all(conn)
    .await?;
    let opened = rows.into_iter().map(|row| {
        let number =
            keyring.open_text_or_legacy(&sealed_column(row.id), &row.encrypted_phone_number);
        PhoneNumber {
            id: row.id,
            user_id: row.user_id,
            number: number.ok().and_then(|number| E164::parse(&number).ok()),
            verified: row.verified,
            created_at: row.created_at,
        }
    });
    Ok(opened.collect())
}

/// What `phone_number` may hold for a number: its blind index under each key, or, in a row of the app's, the number.
fn forms(keyring: &Keyring, number: &str) -> Vec<String> {
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
