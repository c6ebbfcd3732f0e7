//! Ends, erases and deletes old sends.

use std::time::Duration;

use sqlx::PgConnection;

use crate::error::StoreError;

/// Ends sends that no job has started before they expired, erases recipient and text of those that
/// expired an hour ago, and deletes rows older than `age`. Returns how many changed.
///
/// For that hour, an SMS with an unknown outcome can be looked up in Twilio's list. It skips locked
/// rows until the next call.
pub async fn delete_expired(conn: &mut PgConnection, age: Duration) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "delete from pigeonhole.sends where id in (
             select id from pigeonhole.sends
             where created_at < statement_timestamp() - make_interval(secs => $1)
             for update skip locked)",
        age.as_secs_f64(),
    )
    .execute(&mut *conn)
    .await?;
    // Their job ends them, unless it is a dead letter or its kind is paused.
    let expired = sqlx::query!(
        "update pigeonhole.sends set state = 'failed', reason = 'expired', sealed = null,
             updated_at = clock_timestamp()
         where id in (
             select id from pigeonhole.sends
             where sealed is not null and state = 'pending'
                 and expires_at < statement_timestamp()
             for update skip locked)",
    )
    .execute(&mut *conn)
    .await?;
    let erased = sqlx::query!(
        "update pigeonhole.sends set sealed = null where id in (
             select id from pigeonhole.sends
             where sealed is not null and expires_at < statement_timestamp() - interval '1 hour'
             for update skip locked)",
    )
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected() + expired.rows_affected() + erased.rows_affected())
}
