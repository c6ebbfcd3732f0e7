//! The worker: the list of all jobs, how many of each kind run at once, and the schedules.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use jobs::{
    CleanupDeps, CleanupMediaFiles, CleanupMessageBodies, CleanupOrphanedObjects, CleanupSends,
    CleanupTwilioCopies, DownloadDeps, MessageDeps, MessageOptions, ReconcileDeadMessages,
    RecoveryDeps, SendDeps,
};
use queue::{CleanupQueue, CleanupQueueDeps, JobArgs, Pool, Runner, RunnerSettings, Waker};
use store::{
    Keyring,
    job_args::{ProcessMessage, RecoverMessages, SendReply, SendVerification},
};
use tokio::sync::Semaphore;
use twilio::{
    media::{self, Downloader},
    rest::Client,
};

use crate::{
    config::{MediaConfig, RecoveryConfig, SendingConfig, WorkerConfig},
    process_identity::host_and_process,
    traces,
};

/// All kinds of jobs, for metrics.
pub(crate) const KINDS: [&str; 11] = [
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
    RecoverMessages::NAME,
];

/// How many SMS of one kind a process sends at once, however many messages it processes: Twilio
/// refuses what exceeds the concurrency of an account, with status 429.
const SENDS_AT_ONCE: usize = 100;

/// How many media files a process downloads at once.
const FILES_AT_ONCE: usize = 32;

/// How long one download may take, in all.
const FILE_TIMEOUT: Duration = Duration::from_mins(1);

/// A runner of all jobs that this configuration allows.
pub fn runner(
    config: &WorkerConfig,
    pool: Pool,
    keyring: Arc<Keyring>,
    grace: Duration,
) -> anyhow::Result<Runner> {
    let settings = RunnerSettings {
        lease: config.lease,
        grace,
        link_trace: traces::link_trace_of_jobs(),
        ..RunnerSettings::new(config.name.clone().unwrap_or_else(host_and_process))
    };
    let download = download_deps(pool.clone(), keyring, &config.media)?;
    let cleanup = CleanupDeps {
        pool: pool.clone(),
        media_store: download.media_store.clone(),
        downloader: download.downloader.clone(),
        keep_messages: config.keep_messages,
        keep_media: config.media.retention,
        delete_at_twilio: config.media.delete_at_twilio,
    };
    let cleanup_queue = CleanupQueueDeps {
        pool: pool.clone(),
        keep_dead_jobs: config.keep_dead_letters,
    };
    let sending = config.sending.as_ref();
    let sending = sending
        .map(|sending| send_deps(&download, sending))
        .transpose()?;
    let keyring = download.keyring.clone();
    let messages = message_deps(download, config);
    let recovery = config.recovery.as_ref();
    let recovery = recovery
        .map(|recovery| recovery_deps(pool.clone(), keyring, recovery, messages.waker()))
        .transpose()?;
    let mut runner = Runner::new(pool, settings)
        .register::<CleanupQueue, _>(cleanup_queue, 1)
        .schedule("cleanup_queue", "17 * * * *", &CleanupQueue {})?
        .register::<CleanupSends, _>(cleanup.clone(), 1)
        .schedule("cleanup_sends", "*/10 * * * *", &CleanupSends {})?
        .register::<ProcessMessage, _>(messages.clone(), config.concurrency)
        .register::<CleanupTwilioCopies, _>(cleanup.clone(), FILES_AT_ONCE)
        .register::<CleanupMediaFiles, _>(cleanup.clone(), 1)
        .schedule("cleanup_media_files", "*/5 * * * *", &CleanupMediaFiles {})?
        .register::<CleanupOrphanedObjects, _>(cleanup.clone(), 1)
        .schedule(
            "cleanup_orphaned_objects",
            "41 */6 * * *",
            &CleanupOrphanedObjects {},
        )?
        .register::<CleanupMessageBodies, _>(cleanup, 1)
        .schedule(
            "cleanup_message_bodies",
            "*/10 * * * *",
            &CleanupMessageBodies {},
        )?
        .register::<ReconcileDeadMessages, _>(messages, 1)
        .schedule(
            "reconcile_dead_messages",
            "*/5 * * * *",
            &ReconcileDeadMessages {},
        )?;
    if let Some(sending) = sending {
        let sends_at_once = config.concurrency.min(SENDS_AT_ONCE);
        runner = runner
            .register::<SendVerification, _>(sending.clone(), sends_at_once)
            .register::<SendReply, _>(sending, sends_at_once);
    } else {
        tracing::warn!(
            "no SMS can be sent: set TWILIO_PHONE_NUMBER or TWILIO_MESSAGING_SERVICE_SID; until then the jobs wait"
        );
    }
    if let Some(recovery) = recovery {
        runner = runner
            .register::<RecoverMessages, _>(recovery, 1)
            .schedule("recover_messages", "*/2 * * * *", &RecoverMessages {})?;
    } else {
        tracing::warn!(
            "messages that no webhook brings are not recovered: RECOVERY is off, or neither PUBLIC_BASE_URL nor \
             RECOVERY_NUMBERS is set"
        );
    }
    if !config.policy.enrichment {
        tracing::warn!(
            "SMS_ENRICHMENT_ENABLED is false: messages are accepted, and end without items"
        );
    }
    Ok(runner)
}

fn send_deps(download: &DownloadDeps, config: &SendingConfig) -> anyhow::Result<SendDeps> {
    Ok(SendDeps {
        pool: download.pool.clone(),
        keyring: download.keyring.clone(),
        twilio: Client::new(config.api_base_url.clone(), config.credentials.clone())?,
        sender: Arc::new(config.sender.clone()),
        status_callback: config.status_callback.clone(),
    })
}

/// The dependencies of the recovery of messages from Twilio.
pub fn recovery_deps(
    pool: Pool,
    keyring: Arc<Keyring>,
    config: &RecoveryConfig,
    waker: Waker,
) -> anyhow::Result<RecoveryDeps> {
    Ok(RecoveryDeps {
        pool,
        keyring,
        twilio: Client::new(config.api_base_url.clone(), config.credentials.clone())?,
        account: config.account.clone(),
        numbers: config.numbers.clone(),
        waker,
        settle: RecoveryDeps::SETTLE,
    })
}

/// The dependencies of the jobs that process messages. Starts the tasks that open and finish
/// messages.
pub fn message_deps(download: DownloadDeps, config: &WorkerConfig) -> MessageDeps {
    let options = MessageOptions {
        policy: config.policy.clone(),
        extractor: Arc::new(config.extraction.extractor.clone()),
        max_media_bytes: config.media.max_bytes,
        keep_media: !config.media.retention.is_zero(),
        delete_at_twilio: config.media.delete_at_twilio,
    };
    MessageDeps::start(download, options)
}

/// The dependencies of jobs that download the files of messages.
pub fn download_deps(
    pool: Pool,
    keyring: Arc<Keyring>,
    config: &MediaConfig,
) -> anyhow::Result<DownloadDeps> {
    if !config.extra_hosts.is_empty() {
        tracing::info!("MEDIA_EXTRA_HOSTS is set, which is for tests: media may come from inside");
    }
    let settings = media::DownloaderSettings {
        api_base_url: config.api_base_url.clone(),
        credentials: config.credentials.clone(),
        max_bytes: config.max_bytes,
        timeout: FILE_TIMEOUT,
        more_hosts: config.extra_hosts.clone(),
    };
    Ok(DownloadDeps {
        pool,
        keyring,
        downloader: Downloader::new(settings)?,
        media_store: config.store.open().context("MEDIA_STORE cannot be used")?,
        permits: Arc::new(Semaphore::new(FILES_AT_ONCE)),
    })
}
