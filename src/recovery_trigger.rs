//! Asks the workers to look for messages at Twilio that no webhook brought: when a process starts,
//! and when the database is back after it was away.

use std::time::Duration;

use queue::Pool;
use store::{StoreError, recovery};
use tokio::sync::mpsc::{self, error::TrySendError};

/// The pause before the next try while the database is away.
const RETRY: Duration = Duration::from_secs(1);

/// Enqueues the job that looks. It wakes no worker: each finds the job when it polls, within two
/// seconds. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct RecoveryTrigger(mpsc::Sender<()>);

impl RecoveryTrigger {
    /// Starts the task that enqueues, and asks for the first look: messages may have been lost
    /// while this process did not run. The task ends when the last clone is dropped and every look
    /// that was asked for is enqueued.
    pub(crate) fn start(pool: Pool) -> Self {
        // One place. A full channel means that a look is about to be enqueued, which covers this
        // call, too.
        let (sender, mut wanted) = mpsc::channel(1);
        tokio::spawn(async move {
            while wanted.recv().await.is_some() {
                while let Err(error) = enqueue(&pool).await {
                    tracing::debug!(%error, "no look for lost messages could be enqueued yet");
                    tokio::time::sleep(RETRY).await;
                }
            }
        });
        let trigger = Self(sender);
        trigger.request();
        trigger
    }

    /// Asks for a look. Never waits.
    pub(crate) fn request(&self) {
        match self.0.try_send(()) {
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Closed(())) => {}
        }
    }
}

async fn enqueue(pool: &Pool) -> Result<(), StoreError> {
    let mut conn = pool.acquire().await?;
    recovery::request_look(&mut conn).await
}
