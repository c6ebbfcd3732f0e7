//! Asks for a look at Twilio's list.

use chrono::{DateTime, Utc};
use queue::NewJob;
use sqlx::PgConnection;

use crate::error::StoreError;
use crate::job_args::RecoverMessages;

/// The unique key of the job. The schedule `recover_messages` uses the same one, so that one look
/// runs at a time.
pub const LOOK_KEY: &str = "schedule:recover_messages";

/// Asks for a look now. A look that waits for its time becomes due. Behind one that runs, none is
/// enqueued: it sees by [`requested_at`] that another one has to follow.
pub async fn request_look(conn: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into pigeonhole.recovery_requests (requested_at) values (clock_timestamp())
         on conflict (one) do update set requested_at = excluded.requested_at",
    )
    .execute(&mut *conn)
    .await?;
    let job = NewJob::of(&RecoverMessages {})?.unique_key(LOOK_KEY);
    queue::enqueue_all(&mut *conn, &[job]).await?;
    queue::make_due(conn, LOOK_KEY).await?;
    Ok(())
}

/// When a look was last asked for.
pub async fn requested_at(conn: &mut PgConnection) -> Result<Option<DateTime<Utc>>, StoreError> {
    Ok(
        sqlx::query_scalar!("select requested_at from pigeonhole.recovery_requests")
            .fetch_optional(conn)
            .await?,
    )
}
