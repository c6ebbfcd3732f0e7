//! Locks a message that an operator replays, and records the replay.

use sqlx::PgConnection;
use uuid::Uuid;

use super::columns::TABLE;
use super::state::MessageState;
use crate::error::{StoreError, expect_one};

/// Returns the user whose message it is, once that is known.
pub async fn user_of(
    conn: &mut PgConnection,
    message_sid: &str,
) -> Result<Option<Uuid>, StoreError> {
    Ok(sqlx::query_scalar!(
        "select user_id from pigeonhole.inbound_messages where message_sid = $1",
        message_sid,
    )
    .fetch_optional(conn)
    .await?
    .flatten())
}

/// Locks the message until the transaction ends. Returns its state and its user.
pub async fn hold(
    conn: &mut PgConnection,
    message_sid: &str,
) -> Result<Option<(MessageState, Option<Uuid>)>, StoreError> {
    let row = sqlx::query!(
        "select state, user_id from pigeonhole.inbound_messages where message_sid = $1 for update",
        message_sid,
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| Ok((MessageState::parse(&row.state)?, row.user_id)))
        .transpose()
}

/// Records that a message was replayed and is processed now.
pub async fn replayed(
    conn: &mut PgConnection,
    message_sid: &str,
    user_id: Uuid,
    extracted_by: &str,
    items: usize,
) -> Result<(), StoreError> {
    let done = sqlx::query!(
        "update pigeonhole.inbound_messages set state = 'processed', reason = null, user_id = $2,
             extracted_by = $3, items = $4, replayed_at = clock_timestamp(),
             finished_at = coalesce(finished_at, clock_timestamp())
         where message_sid = $1",
        message_sid,
        user_id,
        extracted_by,
        i32::try_from(items).unwrap_or(i32::MAX),
    )
    .execute(conn)
    .await
    .map_err(StoreError::writing_for_user(TABLE))?;
    expect_one(&done, TABLE, message_sid)
}
