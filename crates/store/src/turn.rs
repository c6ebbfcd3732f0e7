//! Turns that transactions take one after the other, whatever process they are of.

use sqlx::PgConnection;

use crate::StoreError;

/// What only one transaction at a time may do. Its number is the key of an advisory lock, the same in all versions.
#[derive(Debug, Clone, Copy)]
#[repr(i64)]
pub(crate) enum Turn {
    /// Taking and counting what is limited.
    Limits = 0x7069_6765_6f6e_0001,
    /// Changing which number is whose.
    Numbers = 0x7069_6765_6f6e_0002,
}

/// Waits for its turn and has it until the transaction ends.
pub(crate) async fn take(conn: &mut PgConnection, turn: Turn) -> Result<(), StoreError> {
    sqlx::query!("select pg_advisory_xact_lock($1)", turn as i64)
        .execute(conn)
        .await?;
    Ok(())
}
