//! What can go wrong here, in the kinds that callers tell apart.

use std::borrow::Cow;
use std::fmt;

use queue::EnqueueError;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgQueryResult;

/// Anything this crate's functions can fail with. No text of it holds a phone number, a message
/// body or a key.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away, starting, stopping or out of a resource: the same call may succeed
    /// later.
    #[error("the database is unavailable")]
    Unavailable(#[source] DatabaseError),
    /// The database did not respond in time: the same call may succeed later.
    #[error("the database did not respond in time")]
    TimedOut,
    /// The database refused, for a reason that time alone does not cure.
    #[error("the database refused")]
    Database(#[source] DatabaseError),
    /// A migration failed and was rolled back.
    #[error("migration {version}")]
    Migration {
        /// The number its file starts with.
        version: i64,
        /// What the database said.
        source: DatabaseError,
    },
    /// A function could not be applied. All functions were rolled back.
    #[error("function {name}")]
    Function {
        /// Its name, with its schema.
        name: String,
        /// What the database said.
        source: DatabaseError,
    },
    /// The migrations could not begin: the database's are not this program's.
    #[error("migrations")]
    Migrate(#[source] MigrateError),
    /// The user was deleted, or never was: the row that refers to them cannot be written. The
    /// transaction is aborted.
    #[error("{table}: the user does not exist")]
    UserGone {
        /// The table whose row refers to the user.
        table: &'static str,
    },
    /// A rate limit had room when a message was opened, and was used up when it ended. Nothing was
    /// written.
    #[error("the rate limit of a message's user is used up")]
    RateLimitUsedUp,
    /// The arguments of a job could not be written as JSON.
    #[error("the job was not enqueued")]
    JobArgs(#[source] EnqueueError),
    /// The number is verified for another user.
    #[error(
        "this number is already linked to another user, whose messages would become this user's; \
         unlink it first if that is what you want"
    )]
    AlreadyLinked,
    /// A statement that must change exactly one row changed another number of rows.
    #[error("{table}: {found} rows changed where one was expected, for {id}")]
    NotOneRow {
        /// The table that was to change.
        table: &'static str,
        /// The row that was to change.
        id: String,
        /// How many rows did change.
        found: u64,
    },
    /// A column holds a text that this version does not know.
    #[error("{table}.{column} holds a value that this version does not know")]
    UnknownValue {
        /// The table it stands in.
        table: &'static str,
        /// The column it stands in.
        column: &'static str,
    },
    /// A value could not be sealed: the system gave no randomness.
    #[error("{table}.{column}: sealing failed")]
    Seal {
        /// The table it was for.
        table: &'static str,
        /// The column it was for.
        column: &'static str,
    },
    /// A sealed value does not open: its key is not in the keyring, or it was changed, or it was
    /// moved here.
    #[error(
        "{table}.{column} of {row} does not open: its key is missing, or it was changed or moved"
    )]
    Open {
        /// The table it stands in.
        table: &'static str,
        /// The column it stands in.
        column: &'static str,
        /// The primary key of its row.
        row: String,
    },
}

impl StoreError {
    /// True when the database is away or overloaded, so that waiting is the cure and the caller did
    /// nothing wrong.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::TimedOut)
    }

    /// A short name for metrics, from a closed set.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unavailable(_) | Self::TimedOut => "database_unavailable",
            Self::Database(_) => "database",
            Self::Migration { .. } | Self::Function { .. } | Self::Migrate(_) => "migrate",
            Self::UserGone { .. } => "user_gone",
            Self::RateLimitUsedUp => "rate_limit",
            Self::JobArgs(_) => "job_args",
            Self::AlreadyLinked => "already_linked",
            Self::NotOneRow { .. } => "not_one_row",
            Self::UnknownValue { .. } => "unknown_value",
            Self::Seal { .. } => "seal",
            Self::Open { .. } => "open",
        }
    }

    /// For the text of a function. What it raises quotes no row.
    pub(crate) fn applying_function(name: &str, error: sqlx::Error) -> Self {
        match error.into() {
            Self::Database(mut source) => {
                source.raised_by_us = true;
                let name = name.to_owned();
                Self::Function { name, source }
            }
            error => error,
        }
    }

    /// For a statement whose only foreign key is the user's.
    pub(crate) fn writing_for_user(table: &'static str) -> impl Fn(sqlx::Error) -> Self {
        move |error| match error.as_database_error() {
            Some(e) if e.is_foreign_key_violation() => Self::UserGone { table },
            _ => error.into(),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let unavailable = queue::is_unavailable(&error);
        let error = DatabaseError {
            error,
            raised_by_us: false,
        };
        if unavailable {
            Self::Unavailable(error)
        } else {
            Self::Database(error)
        }
    }
}

impl From<EnqueueError> for StoreError {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Database(error) => error.into(),
            EnqueueError::Args { .. } => Self::JobArgs(error),
        }
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) => error.into(),
            MigrateError::ExecuteMigration(error, version) => match error.into() {
                Self::Database(mut source) => {
                    source.raised_by_us = true;
                    Self::Migration { version, source }
                }
                error => error,
            },
            error => Self::Migrate(error),
        }
    }
}

/// The classes of errors (the first two characters of their SQLSTATE) whose text names what the
/// database has, such as tables and constraints, and never a value. A class that is missing here
/// may quote what was written: data exceptions do, and so does whatever a trigger of the app's
/// raises.
const TELLING: [&str; 15] = [
    "08", "0A", "23", "25", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58", "XX",
];

/// An error of sqlx, without what could quote a row in clear: the text of some, and the "detail"
/// that Postgres adds to others, which sqlx prints with `Debug`.
pub struct DatabaseError {
    error: sqlx::Error,
    /// By a migration, which raises what it has to say of tables, and quotes no row.
    raised_by_us: bool,
}

/// The class of what a function or trigger raises.
const RAISED: &str = "P0";

impl DatabaseError {
    /// The SQLSTATE, when Postgres itself answered.
    pub fn code(&self) -> Option<String> {
        self.error.as_database_error()?.code().map(Cow::into_owned)
    }

    pub(crate) fn is_unique_violation(&self) -> bool {
        self.error
            .as_database_error()
            .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code();
        let class = code.as_deref().and_then(|code| code.get(..2));
        let tells = |class| TELLING.contains(&class) || (self.raised_by_us && class == RAISED);
        match &self.error {
            sqlx::Error::Database(_) if !class.is_some_and(tells) => {
                f.write_str("error returned from database, whose text may quote what was written")?;
            }
            error => write!(f, "{error}")?,
        }
        code.map_or(Ok(()), |code| write!(f, " (SQLSTATE {code})"))
    }
}

impl fmt::Debug for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseError({self})")
    }
}

impl std::error::Error for DatabaseError {}

/// For a statement that must change exactly one row: an error if it did not.
pub fn expect_one(
    done: &PgQueryResult,
    table: &'static str,
    id: impl fmt::Display,
) -> Result<(), StoreError> {
    match done.rows_affected() {
        1 => Ok(()),
        found => Err(StoreError::NotOneRow {
            table,
            id: id.to_string(),
            found,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_away_is_told_from_one_that_refuses() {
        let away = [
            sqlx::Error::Io(std::io::ErrorKind::ConnectionRefused.into()),
            sqlx::Error::PoolTimedOut,
            sqlx::Error::PoolClosed,
            sqlx::Error::WorkerCrashed,
            sqlx::Error::Protocol("unexpected response from SSLRequest: 0x00".to_owned()),
        ];
        for error in away {
            assert!(StoreError::from(error).is_unavailable());
        }
        let refusals = [
            sqlx::Error::RowNotFound,
            sqlx::Error::Tls("server does not support TLS".into()),
            sqlx::Error::Configuration("no keys found pem file".into()),
        ];
        for error in refusals {
            assert!(!StoreError::from(error).is_unavailable());
        }
    }
}
