//! The transaction that a diagnostic question runs in.

use sqlx::{Connection, PgConnection, PgTransaction, raw_sql};

use crate::error::StoreError;

/// Begins a transaction that changes nothing and whose statements cannot take long. The caller must
/// roll it back: a transaction that is only dropped stays open until its connection is used again.
///
/// The limit belongs to the transaction and not to the session: behind a pooler in transaction
/// mode, which these diagnostics look for, a setting of a session stays for the next user of the
/// session.
pub async fn begin(conn: &mut PgConnection) -> Result<PgTransaction<'_>, StoreError> {
    let mut tx = conn.begin().await?;
    raw_sql("set transaction read only; set local statement_timeout = '5s'")
        .execute(&mut *tx)
        .await?;
    Ok(tx)
}
