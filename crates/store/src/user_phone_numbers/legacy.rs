//! Seals the rows that the app wrote before Pigeonhole.

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::rows::{TABLE, delete_others, lock_rows, sealed_column};
use crate::advisory_lock::AdvisoryLock;
use crate::error::{StoreError, expect_one};
use crate::keyring::Keyring;

const BATCH: i64 = 200;

/// Seals every row that holds its number in clear, and returns how many there were. It works in
/// small transactions while the service runs. If it is stopped half way, the next run continues.
///
/// Where a number also has a row of ours, the row that `find_verified_user` prefers stays.
pub async fn seal_legacy(conn: &mut PgConnection, keyring: &Keyring) -> Result<u64, StoreError> {
    let mut sealed = 0;
    let mut after = Uuid::nil();
    loop {
        let mut tx = conn.begin().await?;
        AdvisoryLock::Numbers.acquire(&mut tx).await?;
        // A blind index is 20 base64url characters. A number of 20 digits without a plus sign is,
        // too.
        let rows = sqlx::query!(
            "select id, phone_number from user_phone_numbers
             where id > $1 and (phone_number !~ '^[A-Za-z0-9_-]{20}$' or phone_number ~ '^[0-9]+$')
             order by id limit $2 for update",
            after,
            BATCH,
        )
        .fetch_all(&mut *tx)
        .await?;
        let Some(last) = rows.last() else {
            return Ok(sealed);
        };
        after = last.id;
        for row in &rows {
            // The app compares this number, so its own ciphertext is not needed.
            seal_number(&mut tx, keyring, &row.phone_number).await?;
        }
        sealed += rows.len() as u64;
        tx.commit().await?;
    }
}

async fn seal_number(
    conn: &mut PgConnection,
    keyring: &Keyring,
    number: &str,
) -> Result<(), StoreError> {
    let rows = lock_rows(conn, keyring, number).await?;
    let Some(id) = rows.first().map(|row| row.id) else {
        return Ok(());
    };
    delete_others(conn, &rows, Some(id)).await?;
    let index = keyring.blind_index(number);
    let done = sqlx::query!(
        "update user_phone_numbers set phone_number = $2, encrypted_phone_number = $3 where id = $1",
        id,
        index.as_str(),
        keyring.seal_text(&sealed_column(id), number)?,
    )
    .execute(conn)
    .await?;
    expect_one(&done, TABLE, id)
}
