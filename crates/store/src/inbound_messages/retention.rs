//! Erases what messages say when it has been kept for long enough. Their rows stay: they make repeats harmless.

use std::time::Duration;

use sqlx::PgConnection;

use crate::StoreError;

/// Erases what messages say that ended longer ago than `age`, at most `most` of them; answers how many. A message that
/// somebody is at work on is left for the next time.
pub async fn erase(conn: &mut PgConnection, age: Duration, most: u32) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "update pigeonhole.inbound_messages set sealed = null where message_sid = any(array(
             select message_sid from pigeonhole.inbound_messages
             where sealed is not null and finished_at <= statement_timestamp() - make_interval(secs => $1)
             order by finished_at limit $2 for update skip locked))",
        age.as_secs_f64(),
        i64::from(most),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
