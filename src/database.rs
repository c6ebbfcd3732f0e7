//! The connection pool.

use std::time::Duration;

use sqlx::{Connection, PgPool, postgres::PgPoolOptions};

use crate::config::DatabaseConfig;

/// How long to wait for a connection. Longer than anyone who waits for an answer: they have deadlines of their own.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that was idle for longer is tested before use. After a restart of the database all that a pool holds are
/// dead, and whoever backs off after each error would take as many errors to come back. Under load none is idle for so
/// long, and none costs the round trip of a test.
const FRESH: Duration = Duration::from_millis(200);

/// A pool that connects when it is first used, so that a database that is away at the start ends nothing.
pub fn pool(config: &DatabaseConfig) -> PgPool {
    pool_of(config, config.max_connections)
}

/// The same, of another size.
pub(crate) fn pool_of(config: &DatabaseConfig, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|conn, state| {
            Box::pin(async move {
                if state.idle_for > FRESH {
                    conn.ping().await?;
                }
                Ok(true)
            })
        })
        .after_connect(|conn, _| Box::pin(store::prepare_session(conn)))
        .connect_lazy_with(config.options.clone())
}
