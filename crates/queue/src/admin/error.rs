//! Why a call of this module failed.

use super::limits::STATEMENT_TIMEOUT;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// A statement was cancelled because it took too long.
    #[error(
        "the database took longer than {} s, so nothing was done: it may be overloaded, or a transaction left open \
         holds the rows; try again, or with a smaller --limit",
        STATEMENT_TIMEOUT.as_secs()
    )]
    TooSlow,
    /// The queue's tables do not exist.
    #[error("this database has no queue: check DATABASE_URL, or run `pigeonhole migrate`")]
    NoQueue,
    /// The database's user lacks the rights.
    #[error("the database's user lacks the rights for this: use one that owns the schema `queue`")]
    Forbidden,
    /// Any other error of the database.
    #[error("the queue could not be read")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for AdminError {
    fn from(error: sqlx::Error) -> Self {
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        match code.as_deref() {
            Some("57014" | "55P03") => Self::TooSlow, // cancelled by a timeout, of the statement or a lock
            Some("42P01" | "3F000" | "42703") => Self::NoQueue, // no such table, schema, column
            Some("42501") => Self::Forbidden,
            _ => Self::Database(error),
        }
    }
}
