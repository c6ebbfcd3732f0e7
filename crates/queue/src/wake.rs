//! Wakes workers when there are new jobs.
//!
//! A `NOTIFY` inside the enqueueing transaction would serialise all commits. So the enqueuer calls
//! [`Waker::wake`] after the commit, which sets a flag, and a task of the process sends one
//! `NOTIFY` for all calls within a few milliseconds. If a wake-up is lost in a crash, the job waits
//! for the next poll.

use std::{sync::Arc, time::Duration};

use sqlx::{PgPool, postgres::PgListener};
use tokio::sync::{
    Notify,
    mpsc::{self, error::TrySendError},
    watch,
};
use tokio_util::sync::CancellationToken;

use crate::connections;

pub(crate) const CHANNEL: &str = "queue_jobs";

/// The shortest time between two notifications of one process.
const DEBOUNCE: Duration = Duration::from_millis(4);

/// The pause before the process listens again after it lost the connection.
const RECONNECT: Duration = Duration::from_millis(500);

/// Wakes the workers of all processes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Waker(mpsc::Sender<()>);

impl Waker {
    /// Starts the task that notifies. It ends when the last clone is dropped. It has a connection
    /// of its own, because in the pool it would wait behind the jobs that the new job has priority
    /// over.
    pub fn start(pool: &PgPool) -> Self {
        let pool = connections::waker(pool);
        // One place. A full channel means that a notification is about to be sent, which covers
        // this call, too.
        let (sender, mut wanted) = mpsc::channel(1);
        tokio::spawn(async move {
            while wanted.recv().await.is_some() {
                let sent = sqlx::query!("select pg_notify($1, '')", CHANNEL)
                    .execute(&pool)
                    .await;
                if let Err(error) = sent {
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

/// Listens until `stop`. Each notification, and each new connection, notifies `arrivals`.
/// `connected` is true while notifications arrive.
pub(crate) async fn listen(
    pool: PgPool,
    arrivals: Arc<Notify>,
    connected: watch::Sender<bool>,
    stop: CancellationToken,
) {
    loop {
        let listening = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.listen(CHANNEL).await?;
            connected.send_replace(true);
            arrivals.notify_one(); // for jobs that were enqueued before this connection listened
            while listener.try_recv().await?.is_some() {
                arrivals.notify_one();
            }
            Ok::<(), sqlx::Error>(())
        };
        tokio::select! {
            result = listening => {
                connected.send_replace(false);
                if let Err(error) = result {
                    tracing::warn!(%error, "cannot listen for new jobs: polling instead");
                }
            }
            () = stop.cancelled() => return,
        }
        tokio::select! { () = tokio::time::sleep(RECONNECT) => {} () = stop.cancelled() => return }
    }
}
