//! Group commit: messages that arrive together are committed together, each with its job, and each is answered only
//! after that commit. A message that arrives alone is committed at once.
//!
//! Killed before the commit, nothing was stored and nothing was answered: Twilio's retry, fallback or message list
//! brings the message back. Killed after it, the message is in and its repeat is a duplicate.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use jobs::{Line, ProcessMessage, Taker, line};
use queue::{NewJob, Waker};
use sqlx::{PgPool, Postgres, pool::PoolConnection};
use store::{
    Keyring, StoreError,
    inbound_messages::{self, AcceptJob, Acceptance, NewMessage},
};
use tokio::{
    sync::{mpsc::error::TrySendError, oneshot},
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::Instrument;
use twilio::InboundWebhook;

use super::error::ReceiverError;
use crate::metrics::receiver as metrics;

/// How long the database may take. Then the client hears 503 while it still listens: Twilio waits 15 s at most.
pub(super) const DEADLINE: Duration = Duration::from_millis(1500);

/// The pause before asking again a database that was away. A restart or a failover is over in a second or two, and by
/// default Twilio does not repeat a webhook that was answered 503.
const PAUSE: Duration = Duration::from_millis(50);

/// How many messages may wait. Whoever finds so many before them hears 503 at once.
const QUEUE: usize = 2048;

/// How many commits may be under way: as many as a line begins.
const WRITERS: usize = 2;

/// The most messages in one commit.
const BATCH: usize = 200;

/// What became of an acceptable webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepted {
    /// Stored, with a job.
    New,
    /// Its message was stored before.
    Duplicate,
}

/// A message on its way to its commit, and who waits for it.
struct Waiting {
    acceptance: Acceptance,
    deadline: Instant,
    answer: oneshot::Sender<Result<Accepted, ReceiverError>>,
}

impl Waiting {
    fn answer(self, result: Result<Accepted, ReceiverError>) {
        if self.answer.send(result).is_err() {
            tracing::debug!("nobody waits for this message any more");
        }
    }
}

/// Hands messages to the writers. The writers end when it is dropped.
pub(super) struct Intake {
    waiting: Line<Waiting>,
}

impl Intake {
    /// Starts the writers.
    pub(super) fn start(pool: &PgPool, waker: &Waker) -> Self {
        let (waiting, taker) = line(QUEUE, BATCH);
        let writers = [(); WRITERS].map(|()| Writer {
            pool: pool.clone(),
            conn: None,
            waker: waker.clone(),
        });
        tokio::spawn(write(writers.into(), taker));
        Self { waiting }
    }

    /// Answers as if everything were committed. For measuring what the database costs.
    pub(super) fn discarding() -> Self {
        let (waiting, mut taker) = line::<Waiting>(QUEUE, BATCH);
        tokio::spawn(async move {
            while let Some(batch) = taker.take(0).await {
                for waiting in batch {
                    waiting.answer(Ok(Accepted::New));
                }
            }
        });
        Self { waiting }
    }

    /// Answers once the message is committed with its job, or is known not to be.
    pub(super) async fn accept(
        &self,
        keyring: &Keyring,
        webhook: &InboundWebhook,
        trace: String,
    ) -> Result<Accepted, ReceiverError> {
        let deadline = Instant::now() + DEADLINE;
        let message = NewMessage {
            message_sid: webhook.message_sid().to_string(),
            account_sid: webhook.account_sid().to_string(),
            sender: webhook.from().as_str().to_owned(),
            fields: webhook.fields().to_vec(),
        };
        let job = NewJob::of(&ProcessMessage {
            message: webhook.message_sid().clone(),
        })?;
        let acceptance = Acceptance {
            message: message.seal(keyring)?,
            job_args: job.args().to_owned(),
            trace: Some(trace),
        };
        let (answer, answered) = oneshot::channel();
        self.waiting
            .try_put(Waiting {
                acceptance,
                deadline,
                answer,
            })
            .map_err(|refused| match refused {
                TrySendError::Full(_) => ReceiverError::Shed,
                TrySendError::Closed(_) => ReceiverError::WriterGone,
            })?;
        let committed = timeout_at(deadline, answered);
        match committed
            .instrument(tracing::debug_span!("receiver.commit"))
            .await
        {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(ReceiverError::WriterGone),
            Err(_) => Err(ReceiverError::DatabaseSlow),
        }
    }
}

/// Gives what waits to the writers, until nobody can come any more.
async fn write(mut idle: Vec<Writer>, mut waiting: Taker<Waiting>) {
    let mut busy = JoinSet::new();
    loop {
        tokio::select! {
            batch = waiting.take(busy.len()) => {
                let (Some(batch), Some(mut writer)) = (batch, idle.pop()) else {
                    break; // the former: of two, one is idle whenever a batch may begin
                };
                metrics::batch(batch.len());
                busy.spawn(async move {
                    writer.commit(batch).await;
                    writer
                });
            }
            Some(ended) = busy.join_next() => match ended {
                Ok(writer) => idle.push(writer),
                Err(_) => return, // it has panicked
            },
        }
    }
    while busy.join_next().await.is_some() {}
}

struct Writer {
    pool: PgPool,
    /// Kept from one commit to the next: a pool tests each connection that it gets back, which is a round trip.
    conn: Option<PoolConnection<Postgres>>,
    waker: Waker,
}

impl Writer {
    /// Commits the batch, for as long as anyone waits for it.
    async fn commit(&mut self, mut batch: Vec<Waiting>) {
        loop {
            let kept = self.conn.is_some();
            let now = Instant::now();
            let over =
                |waiting: &mut Waiting| waiting.deadline <= now || waiting.answer.is_closed();
            // Told so, in case that who waits has not looked at the clock yet: a dropped answer means that we are gone.
            for waiting in batch.extract_if(.., over) {
                waiting.answer(Err(ReceiverError::DatabaseSlow));
            }
            if batch.is_empty() {
                return;
            }
            match self.write(&batch).await {
                Ok(mut new) => {
                    self.waker.wake();
                    for waiting in batch {
                        // Of several with one SID, the first is the new one.
                        let is_new = new.remove(waiting.acceptance.message.message_sid());
                        waiting.answer(Ok(if is_new {
                            Accepted::New
                        } else {
                            Accepted::Duplicate
                        }));
                    }
                    return;
                }
                Err(error) if error.is_unavailable() => {
                    tracing::warn!(%error, messages = batch.len(), "messages wait for the database");
                    if !kept {
                        sleep(PAUSE).await;
                    } // else the connection may just be old
                }
                Err(error) => match batch.pop() {
                    Some(only) if batch.is_empty() => return only.answer(Err(error.into())),
                    last => {
                        // Singly, so that the one that the database refuses fails alone.
                        for waiting in batch.into_iter().chain(last) {
                            Box::pin(self.commit(vec![waiting])).await;
                        }
                        return;
                    }
                },
            }
        }
    }

    /// One statement, one commit. Answers the SIDs that are new.
    async fn write(&mut self, batch: &[Waiting]) -> Result<HashSet<String>, StoreError> {
        // The same message twice in a batch is one message.
        let by_sid: HashMap<&str, &Acceptance> = batch
            .iter()
            .map(|waiting| {
                (
                    waiting.acceptance.message.message_sid(),
                    &waiting.acceptance,
                )
            })
            .collect();
        let acceptances: Vec<Acceptance> = by_sid.into_values().cloned().collect();
        let job = AcceptJob {
            kind: <ProcessMessage as queue::Job>::NAME,
            max_attempts: i16::try_from(<ProcessMessage as queue::Job>::MAX_ATTEMPTS)
                .unwrap_or(i16::MAX),
        };
        let conn = self.conn.take();
        let write = async {
            let mut conn = match conn {
                Some(conn) => conn,
                None => self.pool.acquire().await?,
            };
            let new = inbound_messages::accept_all(&mut conn, job, &acceptances).await?;
            Ok::<_, StoreError>((conn, new))
        };
        // The deadline bounds the wait of those who asked; this bounds ours for a connection that has died.
        let (conn, new) = timeout(DEADLINE, write)
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)??;
        self.conn = Some(conn);
        Ok(new.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
