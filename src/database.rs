//! The connection pool.

use std::time::Duration;

use sqlx::{Connection, PgPool, postgres::PgPoolOptions};

use crate::config::DatabaseConfig;

/// How long to wait for a connection. It is longer than the deadline of every request.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that was idle for longer is tested before use. After a restart of the database, all
/// connections of a pool are dead. Without the test, each would cost its user an error and a pause. Under
/// load, no connection is idle for this long, so none costs the round trip of a test.
const FRESH: Duration = Duration::from_millis(200);

/// A pool that connects on first use, so that a process can start while the database is away.
pub fn pool(config: &DatabaseConfig) -> PgPool {
    pool_of(config, config.max_connections)
}

/// A pool of another size.
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
