//! What users have done with the items of a message, and the deletion of items that no user has
//! reviewed.

use sqlx::PgConnection;
use uuid::Uuid;

use super::stored::StoredItem;
use crate::error::StoreError;

/// An item, and whether its user has reviewed it.
#[derive(Debug)]
pub struct ReviewedItem {
    /// The item.
    pub item: StoredItem,
    /// It is neither accepted nor rejected nor applied.
    pub pending: bool,
    /// Its user has accepted it.
    pub accepted: bool,
}

/// Returns the items of this message that belong to this user.
pub async fn of_message_and_user(
    conn: &mut PgConnection,
    message_sid: &str,
    user_id: Uuid,
) -> Result<Vec<ReviewedItem>, StoreError> {
    read(conn, message_sid, user_id, false).await
}

/// The same, locked until the transaction ends: no other transaction changes them before.
pub async fn hold_of_message(
    conn: &mut PgConnection,
    message_sid: &str,
    user_id: Uuid,
) -> Result<Vec<ReviewedItem>, StoreError> {
    read(conn, message_sid, user_id, true).await
}

async fn read(
    conn: &mut PgConnection,
    message_sid: &str,
    user_id: Uuid,
    hold: bool,
) -> Result<Vec<ReviewedItem>, StoreError> {
    if hold {
        sqlx::query!(
            "select id from enrichment_items
             where source_metadata @> jsonb_build_object('message_sid', $1::text) and user_id = $2
             order by id for update",
            message_sid,
            user_id,
        )
        .fetch_all(&mut *conn)
        .await?;
    }
    let rows = sqlx::query!(
        r#"select id, user_id, item_type, field_name, value, source, source_metadata,
               coalesce(accepted, false) as "accepted!",
               not coalesce(accepted, false) and not coalesce(applied, false)
                   and coalesce(status, 'pending') = 'pending' as "pending!"
           from enrichment_items
           where source_metadata @> jsonb_build_object('message_sid', $1::text) and user_id = $2
           order by created_at, item_type, field_name, value, id"#,
        message_sid,
        user_id,
    )
    .fetch_all(conn)
    .await?;
    let reviewed = rows.into_iter().map(|row| ReviewedItem {
        pending: row.pending,
        accepted: row.accepted,
        item: StoredItem {
            id: row.id,
            user_id: row.user_id,
            item_type: row.item_type,
            field_name: row.field_name,
            value: row.value,
            source: row.source,
            source_metadata: row.source_metadata,
        },
    });
    Ok(reviewed.collect())
}

/// Deletes these items of a user, except those that are reviewed. Returns how many.
pub async fn withdraw(
    conn: &mut PgConnection,
    user_id: Uuid,
    ids: &[Uuid],
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "delete from enrichment_items
         where id = any($2) and user_id = $1 and not coalesce(accepted, false)
             and not coalesce(applied, false) and coalesce(status, 'pending') = 'pending'",
        user_id,
        ids,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
