//! A dead letter that is written together with what confirms it.

use sqlx::PgConnection;

use crate::{
    ack,
    attempt::{Attempt, CompleteError},
};

impl Attempt {
    /// Makes the job a dead letter in the caller's transaction. So what the transaction reads is
    /// read where the job ends: no standby, and no server that does not have this claim, runs it.
    ///
    /// Call it within [`Attempt::completed_by`] and commit, or roll back if the reason does not
    /// hold. After the commit, return [`JobError::Discard`](crate::JobError::Discard) with the same
    /// error.
    pub async fn discard(&self, conn: &mut PgConnection, error: &str) -> Result<(), CompleteError> {
        if ack::discard(conn, self.fence, error).await? {
            Ok(())
        } else {
            Err(CompleteError::LeaseLost)
        }
    }
}
