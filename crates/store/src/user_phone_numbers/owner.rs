//! What makes a number somebody's, and what ends that.

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::{Row, TABLE, delete_others, forms, lock_rows, sealed_column};
use crate::turn::{self, Turn};
use crate::{E164, Keyring, StoreError, expect_one, phone_number_claims, users};

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
    let rows = begin_change(&mut tx, keyring, user_id, number).await?;
    if rows
        .iter()
        .any(|row| row.verified && row.user_id != user_id)
    {
        return Err(StoreError::AlreadyLinked);
    }
    write_verified(&mut tx, keyring, user_id, number, &rows).await?;
    tx.commit().await?;
    Ok(())
}

/// Makes a number that its user has just proved theirs: verified for them, and for nobody else. The newest proof wins:
/// whoever had it before loses it, and keeps their items. The user's other, unverified rows go.
///
/// Fails with [`StoreError::UserGone`] if there is no such user.
pub async fn prove(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
) -> Result<(), StoreError> {
    let mut tx = conn.begin().await?;
    let rows = begin_change(&mut tx, keyring, user_id, number).await?;
    let id = write_verified(&mut tx, keyring, user_id, number, &rows).await?;
    sqlx::query!(
        "delete from user_phone_numbers where user_id = $1 and id <> $2 and not coalesce(verified, false)",
        user_id,
        id,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

/// Forgets a number, verified or claimed, whosever it is; returns how many rows and claims went.
pub async fn unlink(
    conn: &mut PgConnection,
    keyring: &Keyring,
    number: &E164,
) -> Result<u64, StoreError> {
    let mut tx = conn.begin().await?;
    // Before its turn, as whoever proves a claim has it locked, too, before theirs.
    let claims = phone_number_claims::remove_number(&mut tx, keyring, number).await?;
    turn::take(&mut tx, Turn::Numbers).await?;
    let done = sqlx::query!(
        "delete from user_phone_numbers where phone_number = any($1)",
        &forms(keyring, number.as_str()),
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(claims + done.rows_affected())
}

/// Forgets all numbers of a user; returns how many rows went.
pub async fn unlink_user(conn: &mut PgConnection, user_id: Uuid) -> Result<u64, StoreError> {
    let mut tx = conn.begin().await?;
    if !users::hold(&mut tx, user_id).await? {
        return Ok(0);
    }
    // Before its turn, as in `unlink`.
    phone_number_claims::lock(&mut tx, user_id).await?;
    turn::take(&mut tx, Turn::Numbers).await?;
    let done = sqlx::query!("delete from user_phone_numbers where user_id = $1", user_id)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}

/// Is the number still verified for this user? If so, nobody unlinks it before the transaction ends.
pub async fn hold_owner(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
) -> Result<bool, StoreError> {
    // The user before the row, as in `users::hold`: the items that are written next refer to the user.
    let held = sqlx::query!(
        "with held as materialized (select id from users where id = $1 for key share)
         select n.id from user_phone_numbers n join held on held.id = n.user_id
         where n.user_id = $1 and n.phone_number = any($2) and n.verified for share of n",
        user_id,
        &forms(keyring, number.as_str()),
    )
    .fetch_all(conn)
    .await?;
    Ok(!held.is_empty())
}

/// Takes its turn and locks every row there is for the number.
async fn begin_change(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
) -> Result<Vec<Row>, StoreError> {
    if !users::hold(conn, user_id).await? {
        return Err(StoreError::UserGone { table: TABLE });
    }
    turn::take(conn, Turn::Numbers).await?;
    lock_rows(conn, keyring, number.as_str()).await
}

/// Leaves one row of those that there are for a number, or makes it: verified, and the user's. Answers its id.
async fn write_verified(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
    rows: &[Row],
) -> Result<Uuid, StoreError> {
    let mine = rows
        .iter()
        .find(|row| row.user_id == user_id)
        .map(|row| row.id);
    delete_others(conn, rows, mine).await?;
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
    .execute(&mut *conn)
    .await
    .map_err(StoreError::writing_for_user(TABLE))?;
    expect_one(&done, TABLE, id)?;
    Ok(id)
}
