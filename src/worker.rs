//! The worker: the one list of jobs, how many of each run at once, and which the clock enqueues.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use jobs::{
    DeleteAtTwilio, Deps, EraseMessages, Forget, MediaDeps, MediaSweep, MediaUpkeep,
    MediaUpkeepDeps, MessageDeps, ProcessMessage, RetentionDeps, SendDeps, SendReply,
    SendVerification, SettleMessages,
};
use queue::{Job, Maintenance, MaintenanceDeps, Runner, Settings};
use sqlx::PgPool;
use store::Keyring;
use tokio::sync::Semaphore;
use twilio::{
    media::{self, Downloader},
    rest::Client,
};

use crate::{
    config::{MediaConfig, SendingConfig, WorkerConfig},
    traces,
};

/// All kinds of jobs, for whoever counts them.
pub(crate) const KINDS: [&str; 10] = [
    DeleteAtTwilio::NAME,
    EraseMessages::NAME,
    Forget::NAME,
    Maintenance::NAME,
    MediaSweep::NAME,
    MediaUpkeep::NAME,
    ProcessMessage::NAME,
    SendReply::NAME,
    SendVerification::NAME,
    SettleMessages::NAME,
];

/// How many media files a process fetches at once.
const FILES_AT_ONCE: usize = 32;

/// How long one media file may take, in all.
const FILE_TIMEOUT: Duration = Duration::from_mins(1);

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
        follow: traces::follow_jobs(),
        ..Settings::new(config.name.clone().unwrap_or_else(host_and_process))
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
        .register::<ProcessMessage>(messages, config.concurrency)
        .register::<DeleteAtTwilio>(media, FILES_AT_ONCE)
        .register::<MediaUpkeep>(upkeep.clone(), 1)
        .schedule("media_upkeep", "*/5 * * * *", &MediaUpkeep {})?
        .register::<MediaSweep>(upkeep, 1)
        .schedule("media_sweep", "41 */6 * * *", &MediaSweep {})?
        .register::<EraseMessages>(retention, 1)
        .schedule("erase_messages", "*/10 * * * *", &EraseMessages {})?
        .register::<SettleMessages>(deps.clone(), 1)
        .schedule("settle_messages", "*/5 * * * *", &SettleMessages {})?;
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

/// What processing messages needs.
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
        tracing::info!("MEDIA_EXTRA_HOSTS is set, which is for tests: media may come from inside");
    }
    let settings = media::Settings {
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

/// A name for this process.
pub(crate) fn host_and_process() -> String {
    format!(
        "{}:{}",
        gethostname::gethostname().to_string_lossy(),
        std::process::id()
    )
}
