//! The worker: the one list of jobs, how many of each run at once, and which the clock enqueues.

use std::{sync::Arc, time::Duration};

use jobs::{Deps, ProcessMessage};
use queue::{Maintenance, MaintenanceDeps, Runner, ScheduleError, Settings};
use sqlx::PgPool;
use store::Keyring;

use crate::config::WorkerConfig;

/// A runner of all jobs that this configuration allows.
pub fn runner(
    config: &WorkerConfig,
    pool: PgPool,
    keyring: Arc<Keyring>,
    grace: Duration,
) -> Result<Runner, ScheduleError> {
    let settings = Settings {
        lease: config.lease,
        grace,
        ..Settings::new(config.name.clone().unwrap_or_else(host_and_process))
    };
    let deps = Deps {
        pool: pool.clone(),
        keyring,
    };
    let maintenance = MaintenanceDeps {
        pool: pool.clone(),
        keep_dead_jobs: config.keep_dead_letters,
    };
    let mut runner = Runner::new(pool, settings)
        .register::<Maintenance>(maintenance, 1)
        .schedule("queue_maintenance", "17 * * * *", &Maintenance {})?;
    if config.enrichment_enabled {
        runner = runner.register::<ProcessMessage>(deps, config.concurrency);
    } else {
        tracing::warn!(
            "SMS_ENRICHMENT_ENABLED is false: messages wait in the queue until it is true"
        );
    }
    Ok(runner)
}

fn host_and_process() -> String {
    format!(
        "{}:{}",
        gethostname::gethostname().to_string_lossy(),
        std::process::id()
    )
}
