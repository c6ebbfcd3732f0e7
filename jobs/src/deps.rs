//! What jobs work with.

use std::{fmt, sync::Arc};

use queue::{Waker, rate_limit::RateLimit};
use sqlx::PgPool;
use store::Keyring;
use twilio::rest::{Client, Sender};
use uuid::Uuid;

use crate::{
    MediaDeps, Replies,
    batches::Batches,
    extract::WithFallback,
    metrics,
    process_message::{Endings, Openings},
};

/// Everything a job may need, made once at the start. Cheap to clone.
#[derive(Clone)]
pub struct Deps {
    /// The database.
    pub pool: PgPool,
    /// The keys that open and seal personal data.
    pub keyring: Arc<Keyring>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) waker: Waker,
    pub(crate) openings: Batches<Openings>,
    pub(crate) endings: Batches<Endings>,
}

/// What operators decide about messages.
#[derive(Debug, Clone)]
pub struct Policy {
    /// False: messages end as `ignored_disabled`.
    pub enrichment: bool,
    /// Of each user.
    pub limit: RateLimit,
    /// What is replied.
    pub replies: Replies,
}

impl Deps {
    /// Starts what jobs share.
    pub fn start(pool: PgPool, keyring: Arc<Keyring>, policy: Policy) -> Self {
        metrics::start();
        let (policy, waker) = (Arc::new(policy), Waker::start(&pool));
        Self {
            openings: Batches::start(Openings {
                pool: pool.clone(),
                keyring: keyring.clone(),
                policy: policy.clone(),
            }),
            endings: Batches::start(Endings {
                pool: pool.clone(),
                keyring: keyring.clone(),
                waker: waker.clone(),
            }),
            waker,
            pool,
            keyring,
            policy,
        }
    }
}

impl fmt::Debug for Deps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deps")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// What jobs that send SMS need besides.
#[derive(Debug, Clone)]
pub struct SendDeps {
    /// The database and the keys.
    pub deps: Deps,
    /// Twilio's REST API.
    pub twilio: Client,
    /// Whom the SMS come from.
    pub sender: Arc<Sender>,
    /// The URL under which Twilio reports what became of an SMS, without a query.
    pub status_callback: String,
}

impl SendDeps {
    /// Where Twilio reports on this send. The report names it even when we never learnt Twilio's name for it. The
    /// fragment asks Twilio to try again when we do not answer well; it is not part of what is signed.
    /// <https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides>
    pub(crate) fn callback_for(&self, send: Uuid) -> String {
        format!("{}?send={send}#rc=3&rp=all", self.status_callback)
    }
}

/// What messages need besides. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MessageDeps {
    /// The database, the keys, and how files come and are kept.
    pub media: MediaDeps,
    /// Finds what a message says.
    pub extractor: Arc<WithFallback>,
    /// The most bytes of a file, which a user whose file has more is told.
    pub max_bytes: u64,
    /// False: a message's files go as soon as it has ended.
    pub keep_media: bool,
    /// Have Twilio delete a message's files once it has ended.
    pub delete_at_twilio: bool,
}
