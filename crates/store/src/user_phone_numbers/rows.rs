//! The rows of a number, as changes lock them.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::number_variants::stored_number_variants;
use crate::sealed::Context;

pub(super) const TABLE: &str = "user_phone_numbers";

pub(super) fn sealed_column(id: Uuid) -> Context {
    Context::new(TABLE, "encrypted_phone_number", id)
}

/// A locked row of a number.
pub(super) struct LockedNumber {
    pub(super) id: Uuid,
    pub(super) user_id: Uuid,
    pub(super) verified: bool,
}

/// Locks every row of a number. The first is the one that `find_verified_user` prefers.
pub(super) async fn lock_rows(
    conn: &mut PgConnection,
    keyring: &Keyring,
    number: &str,
) -> Result<Vec<LockedNumber>, StoreError> {
    Ok(sqlx::query_as!(
        LockedNumber,
        r#"select id, user_id, coalesce(verified, false) as "verified!"
           from user_phone_numbers where phone_number = any($1)
           order by coalesce(verified, false) desc, created_at desc nulls last, id for update"#,
        &stored_number_variants(keyring, number),
    )
    .fetch_all(conn)
    .await?)
}

pub(super) async fn delete_others(
    conn: &mut PgConnection,
    rows: &[LockedNumber],
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
