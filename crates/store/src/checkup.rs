//! What an operator should know of the database that we are to work on, and of what is sealed in it. It changes nothing.
//!
//! For `pigeonhole doctor`: each question stands for itself, is bounded in time by [`limit`], and answers with facts; what
//! they mean is not judged here.

mod activity;
mod pooling;
mod seals;
mod server;
mod tables;

use std::time::Duration;

use sqlx::{Executor, PgConnection};

use crate::StoreError;

pub use activity::{Holder, Holders, holders};
pub use pooling::Pooling;
pub use seals::{Seals, clear_numbers, has_opt_outs, seals};
pub use server::{Connections, Server, connections, server};
pub use tables::{Autovacuum, TableHealth, autovacuum};

/// The longest that a statement may take.
const STATEMENT_LIMIT: Duration = Duration::from_secs(5);

/// Bounds every statement of this session, which is to be used for nothing else.
pub async fn limit(conn: &mut PgConnection) -> Result<(), StoreError> {
    let milliseconds = STATEMENT_LIMIT.as_millis().to_string();
    sqlx::query!(
        "select set_config('statement_timeout', $1, false)",
        milliseconds
    )
    .fetch_one(&mut *conn)
    .await?;
    // A look must not be the long transaction that it looks for.
    conn.execute("set default_transaction_read_only = on")
        .await?;
    Ok(())
}
