//! Messages that could not be processed.

use sqlx::PgConnection;
use uuid::Uuid;

use super::columns::TABLE;
use crate::error::StoreError;

/// Returns which of these messages have not ended.
pub async fn not_ended(
    conn: &mut PgConnection,
    message_sids: &[String],
) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        "select message_sid from pigeonhole.inbound_messages
         where message_sid = any($1) and state = 'received' order by message_sid",
        message_sids,
    )
    .fetch_all(conn)
    .await?)
}

/// Ends those of these messages that have not ended yet as `failed`, with the reason and the user,
/// if there is one. Returns which it has ended. It does not touch their jobs, which are or become
/// dead letters. If one is requeued, its message may still end otherwise.
pub async fn fail(
    conn: &mut PgConnection,
    messages: &[(String, Option<Uuid>)],
    reason: &str,
) -> Result<Vec<String>, StoreError> {
    let mut messages = messages.to_vec();
    messages.sort_unstable(); // the order in which rows are locked
    let (sids, users): (Vec<String>, Vec<Option<Uuid>>) = messages.into_iter().unzip();
    sqlx::query_scalar!(
        "with given as materialized (
             select given.* from unnest($1::text[], $2::uuid[]) as given(sid, user_id)
             cross join lateral (
                 select message_sid from pigeonhole.inbound_messages
                 where message_sid = given.sid and state = 'received' limit 1 for update
             ) as held
         )
         update pigeonhole.inbound_messages messages
         set state = 'failed', reason = $3, finished_at = clock_timestamp(),
             user_id = given.user_id, opened_at = coalesce(opened_at, clock_timestamp())
         from given where message_sid = any(array[given.sid]) and state = 'received'
         returning message_sid",
        &sids,
        &users as &[Option<Uuid>],
        reason,
    )
    .fetch_all(conn)
    .await
    .map_err(StoreError::writing_for_user(TABLE))
}
