//! Wakes workers when there are new jobs.
//!
//! A `NOTIFY` inside the enqueueing transaction would serialise all commits. So the enqueuer calls
//! [`Waker::wake`] after the commit, which sets a flag, and a task of the process sends one
//! `NOTIFY` for all calls within a few milliseconds. If a wake-up is lost in a crash, the job waits
//! for the next poll.

use std::time::Duration;

use tokio::sync::mpsc::{self, error::TrySendError};

use crate::{connections, database::within, pool::Pool};

pub(crate) const CHANNEL: &str = "queue_jobs";

/// The shortest time between two notifications of one process.
const DEBOUNCE: Duration = Duration::from_millis(4);

/// How long a notification may take. After that its connection is closed. Workers poll meanwhile.
const NOTIFY_LIMIT: Duration = Duration::from_secs(2);

/// Wakes the workers of all processes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Waker(mpsc::Sender<()>);

impl Waker {
    /// Starts the task that notifies. It ends when the last clone is dropped. It has a connection
    /// of its own, because in the pool it would wait behind the jobs that the new job has priority
    /// over.
    pub fn start(pool: impl Into<Pool>) -> Self {
        let pool = connections::waker(&pool.into());
        // One place. A full channel means that a notification is about to be sent, which covers
        // this call, too.
        let (sender, mut wanted) = mpsc::channel(1);
        tokio::spawn(async move {
            while wanted.recv().await.is_some() {
                if let Err(error) = within(NOTIFY_LIMIT, notify(&pool)).await {
                    tracing::debug!(%error, "workers not notified: they will poll");
                }
                tokio::time::sleep(DEBOUNCE).await;
            }
        });
        Self(sender)
    }

    /// Wakes workers, because jobs were committed. Never waits.
    pub fn wake(&self) {
        match self.0.try_send(()) {
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Closed(())) => {}
        }
    }
}

async fn notify(pool: &Pool) -> Result<(), sqlx::Error> {
    let mut conn = pool.acquire().await?;
    sqlx::query!("select pg_notify($1, '')", CHANNEL)
        .execute(&mut *conn)
        .await?;
    conn.put_back();
    Ok(())
}
