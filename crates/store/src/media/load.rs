//! Reads files.

use sqlx::PgConnection;
use uuid::Uuid;

use super::row::{Media, MediaRow};
use crate::error::StoreError;

/// The row's columns, as every query here reads them.
macro_rules! select_media {
    ($rest:literal, $($argument:expr),*) => {
        sqlx::query_as!(
                MediaRow,
            "select id, message_sid, user_id, position, state, reason, media_sid, content_type, bytes,
                 sha256, width, height, object_key, sealed_key, created_at, stored_at, erased_at, deleted_at_twilio
             from pigeonhole.media " + $rest,
            $($argument),*
        )
    };
}

/// Returns the file with this id.
pub async fn load(conn: &mut PgConnection, id: Uuid) -> Result<Option<Media>, StoreError> {
    let row = select_media!("where id = $1", id)
        .fetch_optional(conn)
        .await?;
    row.map(MediaRow::read).transpose()
}

/// Returns the files of a message, by position.
pub async fn of_message(
    conn: &mut PgConnection,
    message_sid: &str,
) -> Result<Vec<Media>, StoreError> {
    let rows = select_media!("where message_sid = $1 order by position", message_sid)
        .fetch_all(conn)
        .await?;
    rows.into_iter().map(MediaRow::read).collect()
}
