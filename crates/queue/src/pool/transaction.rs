//! A transaction on a connection of the pool.

use std::ops::{Deref, DerefMut};

use sqlx::{PgConnection, postgres::PgTransactionManager};
use sqlx_core::transaction::TransactionManager;

use super::connection::PooledConnection;

/// A transaction with a connection of its own. If it is dropped, it is rolled back.
#[derive(Debug)]
pub struct PooledTransaction {
    conn: PooledConnection,
    open: bool,
}

impl PooledTransaction {
    pub(super) async fn begin(conn: PooledConnection) -> Result<Self, sqlx::Error> {
        // Dropped while it begins, it is rolled back as well.
        let mut tx = Self { conn, open: true };
        PgTransactionManager::begin(&mut tx.conn, None).await?;
        Ok(tx)
    }

    /// Commits.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        PgTransactionManager::commit(&mut self.conn).await?;
        self.end();
        Ok(())
    }

    /// Rolls back.
    pub async fn rollback(mut self) -> Result<(), sqlx::Error> {
        PgTransactionManager::rollback(&mut self.conn).await?;
        self.end();
        Ok(())
    }

    fn end(&mut self) {
        self.open = false;
        self.conn.succeeded();
    }
}

impl Deref for PooledTransaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.conn
    }
}

impl DerefMut for PooledTransaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.conn
    }
}

impl Drop for PooledTransaction {
    fn drop(&mut self) {
        if self.open {
            // The check of the connection sends it.
            PgTransactionManager::start_rollback(&mut self.conn);
        }
    }
}
