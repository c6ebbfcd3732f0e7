//! Erases files, and records what Twilio still has.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::StoreError;

/// Erases the files of a message, for good when this commits; a job deletes their objects later.
/// Returns how many. It leaves files that are still being stored.
pub async fn erase_of_message(
    conn: &mut PgConnection,
    message_sid: &str,
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "update pigeonhole.media
         set state = 'erased', erased_at = clock_timestamp(), sha256 = null, object_key = null,
             sealed_key = null
         where message_sid = $1 and state = 'stored'",
        message_sid,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Returns the files of a message that Twilio may still have: their ids and Twilio's.
pub async fn still_at_twilio(
    conn: &mut PgConnection,
    message_sid: &str,
) -> Result<Vec<(Uuid, String)>, StoreError> {
    let rows = sqlx::query!(
        r#"select id, media_sid as "media_sid!" from pigeonhole.media
           where message_sid = $1 and media_sid is not null and deleted_at_twilio is null
               and state not in ('storing', 'gone')
           order by position"#,
        message_sid,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.id, row.media_sid))
        .collect())
}

/// Records that Twilio does not have the file any more. If the row is gone, it changes nothing.
pub async fn deleted_at_twilio(conn: &mut PgConnection, id: Uuid) -> Result<(), StoreError> {
    sqlx::query!(
        "update pigeonhole.media set deleted_at_twilio = clock_timestamp()
         where id = $1 and deleted_at_twilio is null",
        id,
    )
    .execute(conn)
    .await?;
    Ok(())
}
