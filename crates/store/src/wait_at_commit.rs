//! Answers that rest on rows which others have written: see `pigeonhole.wait_at_commit` in the
//! migrations.

use sqlx::PgConnection;

use crate::error::StoreError;

/// Makes the commit of the caller's transaction wait for the disk and the synchronous standbys, as
/// if the transaction had written something. Outside a transaction, the call itself waits.
///
/// Call it before a response that repeats an earlier one, and before an action outside the database
/// that cannot be undone, if the transaction may have written nothing itself. Then what it has read
/// survives the loss of the primary.
///
/// Fails as [`StoreError::Unavailable`] on a standby: what was read there may be out of date.
pub async fn wait_at_commit(conn: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query_scalar!("select pigeonhole.wait_at_commit()::text")
        .fetch_one(conn)
        .await?;
    Ok(())
}
