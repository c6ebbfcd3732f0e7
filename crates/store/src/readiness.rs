//! Whether the database takes writes.

use sqlx::{Connection, Executor, PgConnection};

use crate::error::StoreError;

/// The statements of a probe are one transaction. A server that was set to read-only refuses the
/// first statement and not the second.
const COMMIT: &str = "
    select from queue.jobs where false for update;
    select pg_logical_emit_message(true, 'pigeonhole', 'ready')";

/// A table that vanishes when it is committed.
const WRITE: &str = "
    create temporary table pigeonhole_probe on commit drop as
        select md5(n::text) from generate_series(1, 2000) as n";

/// Commits something that no table has. Fails where a webhook's commit would: on a standby, on a
/// server that was set to read-only, without room for the write-ahead log, and without the standby
/// that a commit has to wait for.
pub async fn probe_commit(conn: &mut PgConnection) -> Result<(), StoreError> {
    conn.execute(COMMIT).await?;
    Ok(())
}

/// Commits a table as well, so it also fails on a full disk. It costs more, so it is for a database
/// that has refused a write.
pub async fn probe_write(conn: &mut PgConnection) -> Result<(), StoreError> {
    let mut tx = conn.begin().await?;
    let written = tx.execute(WRITE).await;
    match written.map_err(StoreError::from) {
        Ok(_) => {
            tx.execute(COMMIT).await?;
            Ok(tx.commit().await?)
        }
        Err(StoreError::Database(error)) if error.code().as_deref() == Some(NOT_ALLOWED) => {
            tx.rollback().await?;
            probe_commit(conn).await
        }
        Err(error) => Err(error),
    }
}

/// The database's user may not create temporary tables.
const NOT_ALLOWED: &str = "42501";
