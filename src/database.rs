//! The connection pool.

use std::time::Duration;

use sqlx::{PgPool, postgres::PgPoolOptions};

use crate::config::DatabaseConfig;

/// How long to wait for a connection. Longer than anyone who waits for an answer: they have deadlines of their own.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A pool that connects when it is first used, so that a database that is away at the start ends nothing.
///
/// Connections are not tested before use: that would be a round trip each time, and whoever uses one deals with the
/// database's going away in the middle of it anyway.
pub fn pool(config: &DatabaseConfig) -> PgPool {
    PgPoolOptions::new()
        .max_connections(config.max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .connect_lazy_with(config.options.clone())
}
