//! Erases what messages say after the retention. Their rows stay: they make repeats harmless.

use std::time::Duration;

use sqlx::PgConnection;

use crate::error::StoreError;

/// Erases the bodies of messages that ended longer ago than `age`, at most `most` of them. Returns
/// how many. It skips a message that another transaction has locked, until the next call.
pub async fn erase_bodies(
    conn: &mut PgConnection,
    age: Duration,
    most: u32,
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "update pigeonhole.inbound_messages set sealed = null where message_sid = any(array(
             select message_sid from pigeonhole.inbound_messages
             where sealed is not null
                 and finished_at <= statement_timestamp() - make_interval(secs => $1)
             order by finished_at limit $2 for update skip locked))",
        age.as_secs_f64(),
        i64::from(most),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
