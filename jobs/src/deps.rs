//! What jobs work with. All of it is cheap to clone.

use std::{fmt, sync::Arc, time::Duration};

use group_commit::{Limits, Submitter};
use queue::{Pool, Waker};
use store::Keyring;
use tokio::sync::Semaphore;
use twilio::{
    AccountSid,
    media::Downloader,
    rest::{Client, Sender},
};
use uuid::Uuid;

use crate::{
    MediaStore, MessagePolicy,
    extract::WithFallback,
    metrics,
    process_message::{ending::FinishMessages, open::OpenMessages, rate_limit::ChargePolicy},
};

/// How many messages may wait to be opened or finished. A process runs fewer jobs at once.
const MAX_WAITING: usize = 4096;

/// How long one transaction may take before its connection counts as dead.
const BATCH_TIMEOUT: Duration = Duration::from_secs(4);

/// What `process_message` and `reconcile_dead_messages` work with.
#[derive(Clone)]
pub struct MessageDeps {
    pub(crate) pool: Pool,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) policy: Arc<MessagePolicy>,
    pub(crate) download: DownloadDeps,
    pub(crate) extractor: Arc<WithFallback>,
    pub(crate) max_media_bytes: u64,
    pub(crate) keep_media: bool,
    pub(crate) delete_at_twilio: bool,
    pub(crate) waker: Waker,
    pub(crate) open: Submitter<OpenMessages>,
    pub(crate) finish: Submitter<FinishMessages>,
}

/// How messages are processed.
#[derive(Debug, Clone)]
pub struct MessageOptions {
    /// What operators decide about messages.
    pub policy: MessagePolicy,
    /// Finds what a message says.
    pub extractor: Arc<WithFallback>,
    /// The largest accepted file, in bytes. The reply to a larger file states this limit.
    pub max_media_bytes: u64,
    /// False: a message's files are erased as soon as it has ended.
    pub keep_media: bool,
    /// Have Twilio delete a message's files once it has ended.
    pub delete_at_twilio: bool,
}

impl MessageDeps {
    /// Starts the tasks that open and finish messages in batches. They end when the last clone is
    /// dropped.
    pub fn start(download: DownloadDeps, options: MessageOptions) -> Self {
        metrics::start();
        let DownloadDeps { pool, keyring, .. } = download.clone();
        let MessageOptions {
            policy,
            extractor,
            max_media_bytes,
            keep_media,
            delete_at_twilio,
        } = options;
        let (policy, waker) = (Arc::new(policy), Waker::start(&pool));
        let limits = Limits::new(MAX_WAITING, BATCH_TIMEOUT);
        let open = OpenMessages {
            pool: pool.clone(),
            keyring: keyring.clone(),
            enrichment: policy.enrichment,
            charge: ChargePolicy {
                limit: policy.limit,
                by_rules: extractor.is_rules(),
            },
        };
        let finish = FinishMessages {
            pool: pool.clone(),
            limit: policy.limit,
            keyring: keyring.clone(),
            waker: waker.clone(),
        };
        Self {
            open: Submitter::start(limits, open),
            finish: Submitter::start(limits, finish),
            pool,
            keyring,
            policy,
            download,
            extractor,
            max_media_bytes,
            keep_media,
            delete_at_twilio,
            waker,
        }
    }

    /// Wakes the workers.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }
}

impl fmt::Debug for MessageDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageDeps")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// What [`crate::download`] works with.
#[derive(Debug, Clone)]
pub struct DownloadDeps {
    /// The database.
    pub pool: Pool,
    /// The keys that open and seal personal data.
    pub keyring: Arc<Keyring>,
    /// Fetches files from Twilio.
    pub downloader: Downloader,
    /// Stores files.
    pub media_store: MediaStore,
    /// One permit for each file that this process may fetch at once.
    pub permits: Arc<Semaphore>,
}

/// What jobs that send SMS work with.
#[derive(Debug, Clone)]
pub struct SendDeps {
    /// The database.
    pub pool: Pool,
    /// The keys that open and seal personal data.
    pub keyring: Arc<Keyring>,
    /// Twilio's REST API.
    pub twilio: Client,
    /// The number or messaging service that SMS are sent from.
    pub sender: Arc<Sender>,
    /// The URL that Twilio calls with the status of an SMS, without a query.
    pub status_callback: String,
}

impl SendDeps {
    /// The URL that Twilio calls with the status of this send. It names the send even when we never
    /// learnt Twilio's SID for it. The fragment asks Twilio to repeat a call that fails; it is not
    /// part of what is signed.
    /// <https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides>
    pub(crate) fn callback_for(&self, send: Uuid) -> String {
        format!("{}?send={send}#rc=3&rp=all", self.status_callback)
    }
}

/// Which numbers' messages are recovered. `Debug` hides them.
#[derive(Clone, PartialEq, Eq)]
pub enum RecoveryNumbers {
    /// All numbers of the account whose messages Twilio sends to this webhook.
    PointingAt(String),
    /// These numbers, in E.164.
    These(Vec<String>),
}

impl fmt::Debug for RecoveryNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PointingAt(_) => f.write_str("PointingAt([url])"),
            Self::These(numbers) => write!(f, "These([{} numbers])", numbers.len()),
        }
    }
}

/// What the recovery of messages from Twilio works with.
#[derive(Debug, Clone)]
pub struct RecoveryDeps {
    /// The database.
    pub pool: Pool,
    /// The keys that open and seal personal data.
    pub keyring: Arc<Keyring>,
    /// Twilio's REST API.
    pub twilio: Client,
    /// The account at Twilio.
    pub account: AccountSid,
    /// Whose messages are recovered.
    pub numbers: RecoveryNumbers,
    /// Wakes the workers.
    pub waker: Waker,
    /// Younger messages are left to their webhook.
    pub settle: Duration,
}

impl RecoveryDeps {
    /// Twilio tries a webhook for 15 s.
    pub const SETTLE: Duration = Duration::from_secs(20);
}

/// What cleanup jobs work with.
#[derive(Debug, Clone)]
pub struct CleanupDeps {
    /// The database.
    pub pool: Pool,
    /// Stores files.
    pub media_store: MediaStore,
    /// Deletes files at Twilio.
    pub downloader: Downloader,
    /// How long what a message says is kept after the message has ended.
    pub keep_messages: Duration,
    /// How long a file is kept after it was stored.
    pub keep_media: Duration,
    /// Have Twilio delete the files of messages that have ended.
    pub delete_at_twilio: bool,
}
