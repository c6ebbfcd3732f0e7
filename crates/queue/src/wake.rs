//! Telling workers that there is something to do.
//!
//! `NOTIFY` inside the enqueueing transaction would serialise all commits, so nobody notifies there. Whoever enqueues
//! calls [`Waker::wake`] after the commit, which costs a flag; a task of the process's own sends one `NOTIFY` for all
//! that came within a few milliseconds. A wake-up that is lost (a crash in between) costs the wait for the next poll.

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

/// The least time between two notifications of one process.
const DEBOUNCE: Duration = Duration::from_millis(4);

/// How long to wait before listening again after the connection was lost.
const RECONNECT: Duration = Duration::from_millis(500);

/// Wakes the workers of all processes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Waker(mpsc::Sender<()>);

impl Waker {
    /// Starts the task that notifies, which ends when the last clone is dropped. It has a connection of its own: in the
    /// pool, which is where the work is done, it would wait behind the very jobs that it is to overtake.
    pub fn start(pool: &PgPool) -> Self {
        let pool = connections::waker(pool);
        // One place: whoever finds it taken is covered by the notification that is about to be sent.
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

    /// Says that jobs have been committed. Never waits.
    pub fn wake(&self) {
        match self.0.try_send(()) {
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Closed(())) => {}
        }
    }
}

/// Listens until `stop`; each notification, and each new connection, notifies `arrivals`. `connected` says whether
/// polling is all there is.
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
            arrivals.notify_one(); // for what came while nobody listened
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
