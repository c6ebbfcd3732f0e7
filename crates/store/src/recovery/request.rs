//! Enqueues the job that looks for messages at Twilio.

use queue::NewJob;
use sqlx::PgConnection;

use crate::error::StoreError;
use crate::job_args::RecoverMessages;

/// The unique key of the job. The schedule `recover_messages` uses the same one, so that one look
/// runs at a time.
pub const LOOK_KEY: &str = "schedule:recover_messages";

/// Enqueues a look, unless one waits or runs. A look that has found something is followed by
/// another one, so none has to be enqueued behind one that runs.
pub async fn request_look(conn: &mut PgConnection) -> Result<(), StoreError> {
    let job = NewJob::of(&RecoverMessages {})?.unique_key(LOOK_KEY);
    queue::enqueue_all(conn, &[job]).await?;
    Ok(())
}
