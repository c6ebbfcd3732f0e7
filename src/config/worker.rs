//! The settings of the worker.

use std::time::Duration;

use jobs::MessagePolicy;

use super::{
    extraction::ExtractionConfig, media::MediaConfig, messages, observer::ObserverConfig,
    reader::Reader, recovery::RecoveryConfig, replies, sending::SendingConfig,
};

/// The worker.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// `WORKER_NAME`.
    pub name: Option<String>,
    /// `WORKER_CONCURRENCY`.
    pub concurrency: usize,
    /// `JOB_LEASE_SECONDS`: how long a dead worker's jobs wait before other workers claim them.
    pub lease: Duration,
    /// `DEAD_LETTER_RETENTION_DAYS`.
    pub keep_dead_letters: Duration,
    /// `MESSAGE_RETENTION_DAYS`.
    pub keep_messages: Duration,
    /// `SMS_ENRICHMENT_ENABLED`, `RATE_LIMIT_…`, `REPLIES` and `REPLY_…`.
    pub policy: MessagePolicy,
    /// How SMS are sent. `None` where there is no number to send from.
    pub sending: Option<SendingConfig>,
    /// How messages that no webhook brought are recovered. `None` where recovery is off, or where
    /// nothing says which numbers are ours.
    pub recovery: Option<RecoveryConfig>,
    /// The files of messages.
    pub media: MediaConfig,
    /// The extractor of messages.
    pub extraction: ExtractionConfig,
    /// The observer.
    pub observer: ObserverConfig,
}

impl WorkerConfig {
    /// Reads the settings.
    pub fn read(r: &mut Reader<'_>) -> Option<Self> {
        let concurrency = r.required("WORKER_CONCURRENCY", |text| match text.parse() {
            Ok(n @ 1..=10_000) => Ok(n),
            _ => Err("must be a number from 1 to 10000".to_owned()),
        });
        let lease = r.required("JOB_LEASE_SECONDS", |text| match text.parse() {
            Ok(seconds @ 2..=3600) => Ok(Duration::from_secs(seconds)),
            _ => Err("must be a number of seconds from 2 to 3600".to_owned()),
        });
        let keep_dead_letters =
            r.required("DEAD_LETTER_RETENTION_DAYS", |text| match text.parse() {
                Ok(days @ 1..=3650) => Ok(Duration::from_hours(24 * days)),
                _ => Err("must be a number of days from 1 to 3650".to_owned()),
            });
        let keep_messages = r.required("MESSAGE_RETENTION_DAYS", |text| match text.parse() {
            Ok(days @ 0..=3650) => Ok(Duration::from_hours(24 * days)),
            _ => Err("must be a number of days from 0 to 3650".to_owned()),
        });
        let sending = SendingConfig::read(r);
        let recovery = RecoveryConfig::read(r);
        let (media, extraction) = (MediaConfig::read(r), ExtractionConfig::read(r));
        let can_send = sending.as_ref().is_some_and(Option::is_some);
        let replies = replies::replies(r, can_send);
        let policy = messages::policy(r, replies);
        let observer = ObserverConfig::read(r);
        Some(Self {
            name: r.text("WORKER_NAME").map(str::to_owned),
            concurrency: concurrency?,
            lease: lease?,
            keep_dead_letters: keep_dead_letters?,
            keep_messages: keep_messages?,
            policy: policy?,
            sending: sending?,
            recovery: recovery?,
            media: media?,
            extraction: extraction?,
            observer: observer?,
        })
    }
}
