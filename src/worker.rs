//! The worker: the one list of jobs, how many of each run at once, and which the clock enqueues.

use std::{sync::Arc, time::Duration};

use jobs::{
    Deps, EraseMessages, Forget, ProcessMessage, RetentionDeps, SendDeps, SendReply,
    SendVerification, SettleMessages,
};
use queue::{Maintenance, MaintenanceDeps, Runner, Settings};
use sqlx::PgPool;
use store::Keyring;
use twilio::rest::Client;

use crate::config::{SendingConfig, WorkerConfig};

/// A runner of all jobs that this configuration allows.
pub fn runner(
    config: &WorkerConfig,
    pool: PgPool,
    keyring: Arc<Keyring>,
    grace: Duration,
) -> anyhow::Result<Runner> {
    let settings = Settings {
        lease: config.lease,
        grace,
        ..Settings::new(config.name.clone().unwrap_or_else(host_and_process))
    };
    let deps = Deps::start(pool.clone(), keyring, config.policy.clone());
    let maintenance = MaintenanceDeps {
        pool: pool.clone(),
        keep_dead_jobs: config.keep_dead_letters,
    };
    let retention = RetentionDeps {
        pool: pool.clone(),
        messages: config.keep_messages,
    };
    let mut runner = Runner::new(pool, settings)
        .register::<Maintenance>(maintenance, 1)
        .schedule("queue_maintenance", "17 * * * *", &Maintenance {})?
        .register::<Forget>(deps.clone(), 1)
        .schedule("forget", "*/10 * * * *", &Forget {})?
        .register::<EraseMessages>(retention, 1)
        .schedule("erase_messages", "*/10 * * * *", &EraseMessages {})?
        .register::<SettleMessages>(deps.clone(), 1)
        .schedule("settle_messages", "*/5 * * * *", &SettleMessages {})?
        .register::<ProcessMessage>(deps.clone(), config.concurrency);
    if let Some(sending) = &config.sending {
        let deps = send_deps(deps.clone(), sending)?;
        runner = runner
            .register::<SendVerification>(deps.clone(), config.concurrency)
            .register::<SendReply>(deps, config.concurrency);
    } else {
        tracing::warn!(
            "no SMS can be sent: set TWILIO_PHONE_NUMBER or TWILIO_MESSAGING_SERVICE_SID; until then they wait"
        );
    }
    if !config.policy.enrichment {
        tracing::warn!(
            "SMS_ENRICHMENT_ENABLED is false: messages are accepted, and end without items"
        );
    }
    Ok(runner)
}

fn send_deps(deps: Deps, config: &SendingConfig) -> anyhow::Result<SendDeps> {
    Ok(SendDeps {
        deps,
        twilio: Client::new(config.api_base_url.clone(), config.credentials.clone())?,
        sender: Arc::new(config.sender.clone()),
        status_callback: config.status_callback.clone(),
    })
}

fn host_and_process() -> String {
    format!(
        "{}:{}",
        gethostname::gethostname().to_string_lossy(),
        std::process::id()
    )
}
