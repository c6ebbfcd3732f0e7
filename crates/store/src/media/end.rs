//! Records how the download of a file has ended.

use sqlx::PgConnection;

use super::object::MediaObject;
use super::state::Refusal;
use crate::error::StoreError;

/// What is known of a file after its download.
#[derive(Debug, Clone)]
pub struct FileFacts {
    /// Its type, by its first bytes.
    pub content_type: &'static str,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of it.
    pub sha256: [u8; 32],
    /// Width and height of an image, in pixels.
    pub dimensions: Option<(u32, u32)>,
}

/// Records that the object is written and the file stored. Returns false, and changes nothing, if
/// another attempt has begun since or the row is gone.
pub async fn stored(
    conn: &mut PgConnection,
    object: &MediaObject,
    facts: &FileFacts,
) -> Result<bool, StoreError> {
    let dimension = |of: fn((u32, u32)) -> u32| {
        facts
            .dimensions
            .and_then(|both| i32::try_from(of(both)).ok())
    };
    let done = sqlx::query!(
        "update pigeonhole.media
         set state = 'stored', stored_at = clock_timestamp(), content_type = $3, bytes = $4,
             sha256 = $5, width = $6, height = $7
         where id = $1 and object_key = $2 and state = 'storing'",
        object.media_id,
        object.name,
        facts.content_type,
        i64::try_from(facts.bytes).unwrap_or(i64::MAX),
        facts.sha256.as_slice(),
        dimension(|both| both.0),
        dimension(|both| both.1),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Records that the file is not kept. Its object, if one was written, becomes garbage. False as in
/// [`stored`].
pub async fn refused(
    conn: &mut PgConnection,
    object: &MediaObject,
    why: Refusal,
) -> Result<bool, StoreError> {
    end(conn, object, "refused", Some(why.as_str())).await
}

/// Records that Twilio does not have the file. False as in [`stored`].
pub async fn gone(conn: &mut PgConnection, object: &MediaObject) -> Result<bool, StoreError> {
    end(conn, object, "gone", None).await
}

async fn end(
    conn: &mut PgConnection,
    object: &MediaObject,
    state: &str,
    reason: Option<&str>,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "update pigeonhole.media set state = $3, reason = $4, object_key = null, sealed_key = null
         where id = $1 and object_key = $2 and state = 'storing'",
        object.media_id,
        object.name,
        state,
        reason,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}
