//! The connection pool.

use std::time::Duration;

use queue::{Pool, PoolSettings};

use crate::config::DatabaseConfig;

/// How long to wait for a connection. It is longer than the deadline of every request.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How many connections the admin listener makes.
pub(crate) const ADMIN_CONNECTIONS: u32 = 2;

/// How many connections the observer makes.
const OBSERVER_CONNECTIONS: u32 = 1;

/// How many connections a process makes at most beside its pool of `DATABASE_POOL_MAX`. Every
/// figure in the code and the documentation follows from this.
pub(crate) const fn connections_beside_pool(receiver: bool, worker: bool) -> u32 {
    let receiver = if receiver {
        queue::WAKER_CONNECTIONS
    } else {
        0
    };
    let worker = if worker { WORKER_CONNECTIONS } else { 0 };
    ADMIN_CONNECTIONS + receiver + worker
}

/// The queue's connections of a worker, and its observer's.
const WORKER_CONNECTIONS: u32 =
    queue::RUNNER_CONNECTIONS + queue::WAKER_CONNECTIONS + OBSERVER_CONNECTIONS;

/// A pool that connects on first use, so that a process can start while the database is away.
pub fn pool(config: &DatabaseConfig) -> Pool {
    Pool::new(PoolSettings {
        servers: config.servers.clone(),
        max_connections: config.max_connections,
        acquire_timeout: ACQUIRE_TIMEOUT,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_name_the_connections_that_a_process_makes() {
        let settings = include_str!("../docs/configuration.md");
        let expected = format!(
            "a worker makes up to {WORKER_CONNECTIONS} more for its queue and metrics, \
             any process {ADMIN_CONNECTIONS} for its operators"
        );
        assert!(settings.contains(&expected), "{expected}");
        let operations = include_str!("../docs/operations.md");
        let operations = operations.split_whitespace().collect::<Vec<_>>().join(" ");
        let expected = format!(
            "up to `DATABASE_POOL_MAX` connections and {} more",
            connections_beside_pool(true, true)
        );
        assert!(operations.contains(&expected), "{expected}");
    }
}
