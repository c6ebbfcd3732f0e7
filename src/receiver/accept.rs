//! Group commit of accepted messages. Messages that arrive together are committed together, each
//! with its job. Each webhook gets its response only after that commit. A message that arrives
//! alone is committed at once.
//!
//! If the process is killed before the commit, nothing was stored and Twilio got no response: its
//! retry, its fallback URL or recovery from its message list brings the message back. If the process is killed
//! after the commit, the message is stored and its repeat is a duplicate.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use group_commit::{BatchOperation, Limits, OnError, SubmitError, Submitter};
use queue::{Pool, PooledConnection, Waker};
use store::{
    Keyring, StoreError,
    inbound_messages::{self, Acceptance, NewMessage},
};
use tokio::time::Instant;
use tracing::Instrument;
use twilio::InboundWebhook;

use super::error::ReceiverError;
use crate::{
    error_chain::ErrorChain, metrics::receiver as metrics, recovery_trigger::RecoveryTrigger,
};

/// How long the database may take. After that, the client gets 503 while it still listens: Twilio
/// waits at most 15 s.
pub(super) const DEADLINE: Duration = Duration::from_millis(1500);

/// The pause before the next try while the database is away. A restart or a failover takes a second
/// or two, and by default Twilio does not repeat a webhook that got a 503.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// A kept connection that was idle for longer must respond before use.
const FRESH: Duration = Duration::from_millis(200);

/// A kept connection that no commit has needed for this long goes back to the pool, which checks
/// it. Otherwise one that went silent could be held until many webhooks come at once.
const UNNEEDED: Duration = Duration::from_secs(5);

/// How many messages may wait. While so many wait, further ones get 503 at once.
const CAPACITY: usize = 2048;

/// How many commits may be in flight.
const COMMITS_IN_FLIGHT: usize = 2;

/// The most messages in one commit.
const MAX_BATCH: usize = 200;

/// The result of a webhook that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepted {
    /// The message is stored, with a job.
    New,
    /// The message was stored before.
    Duplicate,
}

/// Accepts messages by group commit. The task that commits ends when this is dropped.
pub(super) struct Intake {
    submitter: Submitter<CommitMessages>,
}

impl Intake {
    /// Starts the task that commits. `recovery` looks for the messages that were lost while the
    /// database was away.
    pub(super) fn start(pool: &Pool, waker: &Waker, recovery: Option<RecoveryTrigger>) -> Self {
        Self::with(CommitMessages::Database(MessageWriter {
            pool: pool.clone(),
            connections: Mutex::default(),
            waker: waker.clone(),
            recovery,
            has_failed: AtomicBool::new(false),
        }))
    }

    /// An intake that stores nothing and responds as if everything were committed. Benchmarks
    /// measure with it what the database costs.
    pub(super) fn discarding() -> Self {
        Self::with(CommitMessages::Discard)
    }

    fn with(operation: CommitMessages) -> Self {
        let limits = Limits {
            max_batch: MAX_BATCH,
            max_in_flight: COMMITS_IN_FLIGHT,
            deadline: Some(DEADLINE),
            ..Limits::new(CAPACITY, DEADLINE)
        };
        Self {
            submitter: Submitter::start(limits, operation),
        }
    }

    /// Returns once the message is committed with its job, or has failed.
    pub(super) async fn accept(
        &self,
        keyring: &Keyring,
        webhook: &InboundWebhook,
        trace: String,
    ) -> Result<Accepted, ReceiverError> {
        let message = NewMessage {
            message_sid: webhook.message_sid().to_string(),
            account_sid: webhook.account_sid().to_string(),
            sender: webhook.from().as_str().to_owned(),
            fields: webhook.fields().to_vec(),
        };
        let acceptance = Acceptance {
            message: message.seal(keyring)?,
            trace: Some(trace),
        };
        let accepted = self
            .submitter
            .try_submit(acceptance)
            .instrument(tracing::debug_span!("receiver.commit"));
        accepted.await.map_err(|error| match error {
            SubmitError::QueueFull => ReceiverError::Shed,
            SubmitError::TimedOut => ReceiverError::DatabaseSlow,
            SubmitError::Failed(error) => error.error.into(),
            // `CommitMessages` never fails a whole batch of several messages.
            SubmitError::Closed | SubmitError::BatchFailed => ReceiverError::WriterGone,
        })
    }
}

/// What the group commit does with a batch of messages.
enum CommitMessages {
    Database(MessageWriter),
    Discard,
}

/// Why a commit failed.
struct CommitError {
    error: StoreError,
    /// The commit used a connection that an earlier commit had opened.
    reused_connection: bool,
}

impl BatchOperation for CommitMessages {
    type Request = Acceptance;
    type Response = Accepted;
    type Error = CommitError;

    async fn execute(&self, requests: &[&Acceptance]) -> Result<Vec<Accepted>, CommitError> {
        match self {
            Self::Database(writer) => writer.commit(requests).await,
            Self::Discard => Ok(vec![Accepted::New; requests.len()]),
        }
    }

    fn on_error(&self, error: Option<&CommitError>, requests: usize, _tries: u32) -> OnError {
        if let Self::Database(writer) = self {
            writer.has_failed.store(true, Ordering::Relaxed);
        }
        match error {
            // By then every deadline of the batch has passed, so the next try drops its requests.
            None => {
                self.note_refused();
                tracing::warn!(
                    messages = requests,
                    server_is_read_only = self.server_is_read_only(),
                    "the database took too long to commit messages"
                );
                OnError::Retry(Duration::ZERO)
            }
            Some(CommitError {
                error,
                reused_connection,
            }) if error.is_unavailable() => {
                self.note_refused();
                let error = ErrorChain(error);
                tracing::warn!(%error, messages = requests, "messages wait for the database");
                // Perhaps only the old connection is dead: a new one is tried at once.
                let pause = if *reused_connection {
                    Duration::ZERO
                } else {
                    RETRY_PAUSE
                };
                OnError::Retry(pause)
            }
            // Each message alone, so that only the one that the database rejects fails.
            Some(_) => OnError::Split,
        }
    }
}

impl CommitMessages {
    fn server_is_read_only(&self) -> bool {
        match self {
            Self::Database(writer) => writer.pool.is_read_only(),
            Self::Discard => false,
        }
    }

    fn note_refused(&self) {
        if let Self::Database(writer) = self {
            writer.pool.write_refused();
            // What refused one commit refuses the next. The pool checks them, and closes those
            // that are of no use.
            writer.kept().clear();
        }
    }
}

/// Writes messages and their jobs to the database.
struct MessageWriter {
    pool: Pool,
    /// Connections that are kept for the next commits, one for each commit in flight. The pool
    /// would wait for a response of each connection that it gets back.
    connections: Mutex<Vec<(PooledConnection, Instant)>>,
    waker: Waker,
    /// Looks for lost messages at Twilio.
    recovery: Option<RecoveryTrigger>,
    /// A commit has failed since the last one that succeeded: messages may have been lost.
    has_failed: AtomicBool,
}

impl MessageWriter {
    async fn commit(&self, batch: &[&Acceptance]) -> Result<Vec<Accepted>, CommitError> {
        let kept = self.kept_connection().await;
        let reused_connection = kept.is_some();
        let mut new = self.write(kept, batch).await.map_err(|error| CommitError {
            error,
            reused_connection,
        })?;
        self.pool.write_committed();
        metrics::batch(batch.len());
        self.waker.wake();
        if self.has_failed.swap(false, Ordering::Relaxed)
            && let Some(recovery) = &self.recovery
        {
            recovery.request();
        }
        // Of several messages with one SID, the first one is the new one.
        let accepted = batch.iter().map(|acceptance| {
            if new.remove(acceptance.message.message_sid()) {
                Accepted::New
            } else {
                Accepted::Duplicate
            }
        });
        Ok(accepted.collect())
    }

    /// One statement, one commit. Returns the SIDs that are new. After an error the connection goes
    /// back to the pool, which checks it.
    async fn write(
        &self,
        kept: Option<PooledConnection>,
        batch: &[&Acceptance],
    ) -> Result<HashSet<String>, StoreError> {
        // The same message twice in a batch is one message.
        let by_sid: HashMap<&str, &Acceptance> = batch
            .iter()
            .map(|acceptance| (acceptance.message.message_sid(), *acceptance))
            .collect();
        let acceptances: Vec<&Acceptance> = by_sid.into_values().collect();
        let mut conn = match kept {
            Some(conn) => conn,
            None => self.pool.acquire().await?,
        };
        let new = inbound_messages::accept_all(&mut conn, &acceptances).await?;
        let mut kept = self.kept();
        kept.retain(|(_, since)| since.elapsed() < UNNEEDED);
        kept.push((conn, Instant::now()));
        Ok(new.into_iter().collect())
    }

    /// A connection that an earlier commit had opened, if one is left that responds. One that was
    /// idle may have lost its other end.
    async fn kept_connection(&self) -> Option<PooledConnection> {
        loop {
            let (mut conn, since) = self.kept().pop()?;
            if since.elapsed() < FRESH {
                return Some(conn);
            }
            match conn.ping().await {
                Ok(()) => return Some(conn),
                // Then the others are too old as well.
                Err(_) => self.kept().clear(),
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<(PooledConnection, Instant)>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
