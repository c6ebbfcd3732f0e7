//! What every statement of the runner obeys: a time limit, and a pause before the next try.

use std::time::Duration;

use tokio::time::timeout;

/// The time limit of any statement. Without it, a connection whose other end has vanished would
/// block its task until TCP notices.
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

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
    async fn a_statement_that_takes_too_long_is_an_error_that_names_the_limit() {
        let endless = std::future::pending::<Result<(), sqlx::Error>>();
        let error = within(Duration::from_secs(10), endless).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the database did not respond within 10 s"
        );
    }
}
