//! Links numbers to users, and unlinks them.

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::rows::{LockedNumber, TABLE, delete_others, lock_rows, sealed_column};
use crate::advisory_lock::AdvisoryLock;
use crate::e164::E164;
use crate::error::{StoreError, expect_one};
use crate::keyring::Keyring;
use crate::number_variants::stored_number_variants;
use crate::pending_verifications::locked as pending_verifications;
use crate::users;

/// Links a number to a user, for an operator: afterwards it is verified for the user, and no other
/// user has a row for it. Doing it again changes nothing that matters.
///
/// Fails with [`StoreError::AlreadyLinked`] if it is verified for another user, and
/// [`StoreError::UserGone`] if there is no such user. An unverified row of another user is deleted.
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

/// Links a number to the user who has just proved that it is theirs. The newest proof wins: the
/// previous user loses the number and keeps their items. The user's other, unverified rows are
/// deleted.
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
        "delete from user_phone_numbers
         where user_id = $1 and id <> $2 and not coalesce(verified, false)",
        user_id,
        id,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

/// Deletes a number, verified or pending, of any user. Returns how many rows and pending
/// verifications it has deleted.
pub async fn unlink(
    conn: &mut PgConnection,
    keyring: &Keyring,
    number: &E164,
) -> Result<u64, StoreError> {
    let mut tx = conn.begin().await?;
    // Before the advisory lock: a proof locks its pending verification first, too.
    let pending = pending_verifications::remove_number(&mut tx, keyring, number).await?;
    AdvisoryLock::Numbers.acquire(&mut tx).await?;
    let done = sqlx::query!(
        "delete from user_phone_numbers where phone_number = any($1)",
        &stored_number_variants(keyring, number.as_str()),
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(pending + done.rows_affected())
}

/// Deletes all numbers of a user. Returns how many rows it has deleted.
pub async fn unlink_user(conn: &mut PgConnection, user_id: Uuid) -> Result<u64, StoreError> {
    let mut tx = conn.begin().await?;
    if !users::hold(&mut tx, user_id).await? {
        return Ok(0);
    }
    // Before the advisory lock, as in `unlink`.
    pending_verifications::lock(&mut tx, user_id).await?;
    AdvisoryLock::Numbers.acquire(&mut tx).await?;
    let done = sqlx::query!("delete from user_phone_numbers where user_id = $1", user_id)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}

/// Returns whether the number is still verified for this user. If so, no other transaction unlinks
/// it before this one ends.
pub async fn hold_verified(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
) -> Result<bool, StoreError> {
    // The user before the row, as in `users::hold`: the items that the caller writes refer to the
    // user.
    let held = sqlx::query!(
        "with held as materialized (select id from users where id = $1 for key share)
         select n.id from user_phone_numbers n join held on held.id = n.user_id
         where n.user_id = $1 and n.phone_number = any($2) and n.verified for share of n",
        user_id,
        &stored_number_variants(keyring, number.as_str()),
    )
    .fetch_all(conn)
    .await?;
    Ok(!held.is_empty())
}

/// Acquires the advisory lock and locks every row of the number.
async fn begin_change(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
) -> Result<Vec<LockedNumber>, StoreError> {
    if !users::hold(conn, user_id).await? {
        return Err(StoreError::UserGone { table: TABLE });
    }
    AdvisoryLock::Numbers.acquire(conn).await?;
    lock_rows(conn, keyring, number.as_str()).await
}

/// Leaves one row of a number or creates it: verified, and the user's. Returns its id.
async fn write_verified(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
    rows: &[LockedNumber],
) -> Result<Uuid, StoreError> {
    let mine = rows
        .iter()
        .find(|row| row.user_id == user_id)
        .map(|row| row.id);
    delete_others(conn, rows, mine).await?;
    let id = mine.unwrap_or_else(Uuid::new_v4);
    let index = keyring.blind_index(number.as_str());
    let done = sqlx::query!(
        "insert into user_phone_numbers
             (id, user_id, phone_number, encrypted_phone_number, verified)
         values ($1, $2, $3, $4, true)
         on conflict (id) do update set
             phone_number = excluded.phone_number,
             encrypted_phone_number = excluded.encrypted_phone_number,
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
