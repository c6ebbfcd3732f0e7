//! What every statement of the runner obeys: a time limit, and a pause before the next try. And
//! which errors say that the database is away.

use std::time::Duration;

use tokio::time::{Instant, timeout};

/// The longest time limit of a statement. Without a limit, a connection whose other end has vanished
/// would block its task until TCP notices.
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// The time limit of a statement while the database is fast.
const FIRST_LIMIT: Duration = Duration::from_millis(2500);

/// The time limit of a loop's statements. It is short, so that the loop soon leaves a connection
/// whose other end has vanished. It doubles after each statement that took longer, so that a slow
/// database does not stop the loop for good.
#[derive(Debug)]
pub(crate) struct StatementLimit(Duration);

impl Default for StatementLimit {
    fn default() -> Self {
        Self(FIRST_LIMIT)
    }
}

impl StatementLimit {
    /// Runs a statement under this limit, and under another one.
    pub(crate) async fn within<T>(
        &mut self,
        longest: Duration,
        statement: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StatementError> {
        let started = Instant::now();
        let result = within(self.0.min(longest), statement).await;
        match result {
            Err(StatementError::TimedOut(_)) => self.0 = (self.0 * 2).min(STATEMENT_TIMEOUT),
            Ok(_) if started.elapsed() < FIRST_LIMIT / 2 => self.0 = FIRST_LIMIT,
            Ok(_) | Err(StatementError::Database(_)) => {}
        }
        result
    }
}

/// The pause after the first error of the database. It doubles with each further error.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause after an error of the database.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The longest delay that is stored. Postgres cannot represent times that are too far away.
pub(crate) const LONGEST_DELAY: Duration = Duration::from_hours(24 * 365 * 10);

/// Why a statement of the runner failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StatementError {
    /// The time limit passed.
    #[error("the database did not respond within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The database reported an error.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// True if the database is away, overloaded or read-only, so that waiting is the cure: the same
/// statement may succeed later. Wrong settings and refused logins are no such errors.
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        // A proxy without a server to connect to breaks the protocol: it closes the connection, or
        // sends its own text. Whatever breaks the protocol later, a new connection is the cure.
        sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| UNAVAILABLE.iter().any(|start| code.starts_with(start))),
        _ => false,
    }
}

/// How the SQLSTATEs start that say so: the connection was lost; out of resources; stopped,
/// starting or dropped by an administrator; a standby that was the primary a moment ago, or a
/// server that was set to read-only; we paused in a transaction; the disk failed.
const UNAVAILABLE: [&str; 6] = ["08", "53", "57P0", "25006", "25P03", "58030"];

/// Runs a statement under a time limit.
pub(crate) async fn within<T, E>(
    limit: Duration,
    statement: impl Future<Output = Result<T, E>>,
) -> Result<T, StatementError>
where
    StatementError: From<E>,
{
    match timeout(limit, statement).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(StatementError::TimedOut(limit)),
    }
}

/// The pause after this many errors in a row.
pub(crate) fn retry_pause(errors: u32) -> Duration {
    let doublings = errors.saturating_sub(1).min(16);
    FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses = [1, 2, 3, 5, 6, u32::MAX].map(|errors| retry_pause(errors).as_millis());
        assert_eq!(pauses, [100, 200, 400, 1600, 2000, 2000]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_of_a_loop_grows_while_the_database_is_slow() {
        let mut limit = StatementLimit::default();
        let mut run = async |takes: u64| {
            let statement = async {
                tokio::time::sleep(Duration::from_secs(takes)).await;
                Ok(())
            };
            limit.within(STATEMENT_TIMEOUT, statement).await.is_ok()
        };
        assert!(!run(5).await, "the first limit is 2.5 s");
        assert!(run(4).await, "the second is 5 s");
        assert!(!run(8).await);
        assert!(run(8).await, "the third is 10 s");
        assert!(run(1).await);
        assert!(!run(5).await, "the limit is 2.5 s again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_statement_that_takes_too_long_is_an_error_that_names_the_limit() {
        let endless = std::future::pending::<Result<(), sqlx::Error>>();
        let error = within(Duration::from_secs(10), endless).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the database did not respond within 10 s"
        );
    }
}
