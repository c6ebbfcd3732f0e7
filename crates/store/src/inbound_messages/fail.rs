//! Messages that could not be processed.

use sqlx::PgConnection;

use crate::StoreError;

/// Ends messages as `failed`, with the reason, those of them that have not ended yet; answers which. Their jobs are not
/// touched: they are dead letters, or about to be. Should one be requeued, its message may still end otherwise.
pub async fn fail(
    conn: &mut PgConnection,
    message_sids: &[String],
    reason: &str,
) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        "update pigeonhole.inbound_messages set state = 'failed', reason = $2, finished_at = clock_timestamp()
         where state = 'received' and message_sid = any(array(
             select message_sid from pigeonhole.inbound_messages
             where message_sid = any($1) and state = 'received' order by message_sid for update))
         returning message_sid",
        message_sids,
        reason,
    )
    .fetch_all(conn)
    .await?)
}
