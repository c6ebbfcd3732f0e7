//! Advisory locks that transactions of all processes take.

use sqlx::PgConnection;

use crate::error::StoreError;

/// What only one transaction at a time may do. The number is the key of the lock, the same in all
/// versions.
#[derive(Debug, Clone, Copy)]
#[repr(i64)]
pub(crate) enum AdvisoryLock {
    /// Counting an event and recording it.
    Limits = 0x7069_6765_6f6e_0001,
    /// Changing which user a number belongs to.
    Numbers = 0x7069_6765_6f6e_0002,
    /// Observing the database. A session holds this one.
    Observer = 0x7069_6765_6f6e_0003,
}

impl AdvisoryLock {
    /// Waits for the lock and holds it until the transaction ends.
    pub(crate) async fn acquire(self, conn: &mut PgConnection) -> Result<(), StoreError> {
        sqlx::query!("select pg_advisory_xact_lock($1)", self as i64)
            .execute(conn)
            .await?;
        Ok(())
    }
}
