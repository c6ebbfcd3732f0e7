//! The worker: the one list of jobs and how many of each run at once.

use std::{sync::Arc, time::Duration};

use jobs::{Deps, ProcessMessage};
use queue::{Runner, Settings};
use sqlx::PgPool;
use store::Keyring;

use crate::config::WorkerConfig;

/// A runner of all jobs that this configuration allows.
pub fn runner(
    config: &WorkerConfig,
    pool: PgPool,
    keyring: Arc<Keyring>,
    grace: Duration,
) -> Runner {
    let settings = Settings {
        lease: config.lease,
        grace,
        ..Settings::new(name())
    };
    let deps = Deps {
        pool: pool.clone(),
        keyring,
    };
    let mut runner = Runner::new(pool, settings);
    if config.enrichment_enabled {
        runner = runner.register::<ProcessMessage>(deps, config.concurrency);
    } else {
        tracing::warn!(
            "SMS_ENRICHMENT_ENABLED is false: messages wait in the queue until it is true"
        );
    }
    runner
}

/// Shown to operators as the holder of a job.
fn name() -> String {
    format!(
        "{}:{}",
        gethostname::gethostname().to_string_lossy(),
        std::process::id()
    )
}
