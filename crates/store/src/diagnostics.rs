//! What an operator should know of the database that we are to work on, and of what is sealed in it. It changes nothing.
//!
//! For `pigeonhole doctor`: each question stands for itself, is bounded in time by [`begin`], and answers with facts; what
//! they mean is not judged here.

mod activity;
mod pooling;
mod seals;
mod server;
mod tables;

use sqlx::{Connection, PgConnection, PgTransaction, raw_sql};

use crate::error::StoreError;

pub use activity::{Holder, Holders, holders};
pub use pooling::Pooling;
pub use seals::{Seals, clear_numbers, has_opt_outs, seals};
pub use server::{Connections, Server, connections, server};
pub use tables::{Autovacuum, TableHealth, autovacuum};

/// Begins a transaction that changes nothing and whose statements cannot take long. It is to be rolled
/// back: one that is only dropped stays open until its connection is used again.
///
/// The limit is the transaction's and not the session's: behind a pooler that mixes sessions up, which is one of the things
/// that are looked for here, what is set for a session stays for whoever gets it next.
pub async fn begin(conn: &mut PgConnection) -> Result<PgTransaction<'_>, StoreError> {
    let mut tx = conn.begin().await?;
    raw_sql("set transaction read only; set local statement_timeout = '5s'")
        .execute(&mut *tx)
        .await?;
    Ok(tx)
}
