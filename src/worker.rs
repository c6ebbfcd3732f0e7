//! The worker: the list of all jobs, how many of each kind run at once, and the schedules.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use jobs::{
    CleanupMediaFiles, CleanupMessageBodies, CleanupOrphanedObjects, CleanupSends,
    CleanupTwilioCopies, Deps, MediaDeps, MediaUpkeepDeps, MessageDeps, ReconcileDeadMessages,
    RetentionDeps, SendDeps,
};
use queue::{CleanupQueue, CleanupQueueDeps, JobArgs, Runner, RunnerSettings};
use sqlx::PgPool;
use store::{
    Keyring,
    job_args::{ProcessMessage, SendReply, SendVerification},
};
use tokio::sync::Semaphore;
use twilio::{
    media::{self, Downloader},
    rest::Client,
};

use crate::{
    config::{MediaConfig, SendingConfig, WorkerConfig},
    process_identity::host_and_process,
    traces,
};

/// All kinds of jobs, for metrics.
pub(crate) const KINDS: [&str; 10] = [
    CleanupTwilioCopies::NAME,
    CleanupMessageBodies::NAME,
    CleanupSends::NAME,
    CleanupQueue::NAME,
    CleanupOrphanedObjects::NAME,
    CleanupMediaFiles::NAME,
    ProcessMessage::NAME,
    SendReply::NAME,
    SendVerification::NAME,
    ReconcileDeadMessages::NAME,
];

/// How many media files a process downloads at once.
const FILES_AT_ONCE: usize = 32;

/// How long one download may take, in all.
const FILE_TIMEOUT: Duration = Duration::from_mins(1);

/// A runner of all jobs that this configuration allows.
pub fn runner(
    config: &WorkerConfig,
    pool: PgPool,
    keyring: Arc<Keyring>,
    grace: Duration,
) -> anyhow::Result<Runner> {
    let settings = RunnerSettings {
        lease: config.lease,
        grace,
        link_trace: traces::link_trace_of_jobs(),
        ..RunnerSettings::new(config.name.clone().unwrap_or_else(host_and_process))
    };
    let deps = Deps::start(pool.clone(), keyring, config.policy.clone());
    let messages = message_deps(deps.clone(), config)?;
    let media = messages.media.clone();
    let upkeep = MediaUpkeepDeps {
        deps: deps.clone(),
        store: media.store.clone(),
        retention: config.media.retention,
        delete_at_twilio: config.media.delete_at_twilio,
    };
    let maintenance = CleanupQueueDeps {
        pool: pool.clone(),
        keep_dead_jobs: config.keep_dead_letters,
    };
    let retention = RetentionDeps {
        pool: pool.clone(),
        messages: config.keep_messages,
    };
    let mut runner = Runner::new(pool, settings)
        .register::<CleanupQueue, _>(maintenance, 1)
        .schedule("cleanup_queue", "17 * * * *", &CleanupQueue {})?
        .register::<CleanupSends, _>(deps.clone(), 1)
        .schedule("cleanup_sends", "*/10 * * * *", &CleanupSends {})?
        .register::<ProcessMessage, _>(messages, config.concurrency)
        .register::<CleanupTwilioCopies, _>(media, FILES_AT_ONCE)
        .register::<CleanupMediaFiles, _>(upkeep.clone(), 1)
        .schedule("cleanup_media_files", "*/5 * * * *", &CleanupMediaFiles {})?
        .register::<CleanupOrphanedObjects, _>(upkeep, 1)
        .schedule(
            "cleanup_orphaned_objects",
            "41 */6 * * *",
            &CleanupOrphanedObjects {},
        )?
        .register::<CleanupMessageBodies, _>(retention, 1)
        .schedule(
            "cleanup_message_bodies",
            "*/10 * * * *",
            &CleanupMessageBodies {},
        )?
        .register::<ReconcileDeadMessages, _>(deps.clone(), 1)
        .schedule(
            "reconcile_dead_messages",
            "*/5 * * * *",
            &ReconcileDeadMessages {},
        )?;
    if let Some(sending) = &config.sending {
        let deps = send_deps(deps.clone(), sending)?;
        runner = runner
            .register::<SendVerification, _>(deps.clone(), config.concurrency)
            .register::<SendReply, _>(deps, config.concurrency);
    } else {
        tracing::warn!(
            "no SMS can be sent: set TWILIO_PHONE_NUMBER or TWILIO_MESSAGING_SERVICE_SID; until then the jobs wait"
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

/// The dependencies of the jobs that process messages.
pub fn message_deps(deps: Deps, config: &WorkerConfig) -> anyhow::Result<MessageDeps> {
    Ok(MessageDeps {
        media: media_deps(deps, &config.media)?,
        extractor: Arc::new(config.extraction.extractor.clone()),
        max_bytes: config.media.max_bytes,
        keep_media: !config.media.retention.is_zero(),
        delete_at_twilio: config.media.delete_at_twilio,
    })
}

fn media_deps(deps: Deps, config: &MediaConfig) -> anyhow::Result<MediaDeps> {
    if !config.extra_hosts.is_empty() {
        tracing::info!(
            "MEDIA_EXTRA_HOSTS is set, which is for tests: media may come from inside the network"
        );
    }
    let settings = media::DownloaderSettings {
        api_base_url: config.api_base_url.clone(),
        credentials: config.credentials.clone(),
        max_bytes: config.max_bytes,
        timeout: FILE_TIMEOUT,
        more_hosts: config.extra_hosts.clone(),
    };
    Ok(MediaDeps {
        deps,
        downloader: Downloader::new(settings)?,
        store: config.store.open().context("MEDIA_STORE cannot be used")?,
        at_once: Arc::new(Semaphore::new(FILES_AT_ONCE)),
    })
}
