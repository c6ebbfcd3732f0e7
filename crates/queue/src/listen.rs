//! Listens for the notifications that [`Waker`](crate::Waker) sends.
//!
//! A connection whose other end has gone silent looks like one on which nothing happens. So the
//! listener sends itself a notification every second. If one does not arrive before the next is
//! due, the connection is replaced.

use std::{sync::Arc, time::Duration};

use sqlx::{Acquire, postgres::PgListener};
use tokio::{
    sync::{Notify, watch},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{pool::Pool, wake::CHANNEL};

/// The pause before the process listens again after it lost the connection.
const RECONNECT: Duration = Duration::from_millis(500);

/// The time between two notifications to itself, and the longest time that one may take.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long it may take to begin.
const BEGIN_LIMIT: Duration = Duration::from_secs(5);

/// Why the listener has to connect again.
#[derive(Debug, thiserror::Error)]
enum ListenError {
    #[error("its connection has gone silent")]
    Deaf,
    #[error("its connection was lost")]
    Lost,
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Listens until `stop`. Each notification, and each new connection, notifies `arrivals`.
/// `connected` is true while notifications arrive.
pub(crate) async fn listen(
    pool: Pool,
    arrivals: Arc<Notify>,
    connected: watch::Sender<bool>,
    stop: CancellationToken,
) {
    let listening = async {
        loop {
            if let Some(error) = listen_once(&pool, &arrivals, &connected).await.err() {
                connected.send_replace(false);
                tracing::warn!(%error, "cannot listen for new jobs: polling instead");
            }
            tokio::time::sleep(RECONNECT).await;
        }
    };
    tokio::select! {
        never = listening => never,
        () = stop.cancelled() => {}
    }
}

/// Listens until the connection is lost.
async fn listen_once(
    pool: &Pool,
    arrivals: &Notify,
    connected: &watch::Sender<bool>,
) -> Result<(), ListenError> {
    let connecting = async {
        // The pool makes one connection, to a server that can be written to. The listener holds it.
        pool.acquire().await?.put_back();
        Box::pin(PgListener::connect_with(pool.unguarded())).await
    };
    let mut listener = timeout(BEGIN_LIMIT, connecting)
        .await
        .map_err(|_| ListenError::Deaf)??;
    listener.eager_reconnect(false);
    let error = hear(&mut listener, arrivals, connected).await;
    connected.send_replace(false);
    if matches!(error, Err(ListenError::Deaf)) {
        pool.doubt();
    }
    discard(listener, pool).await;
    error
}

async fn hear(
    listener: &mut PgListener,
    arrivals: &Notify,
    connected: &watch::Sender<bool>,
) -> Result<(), ListenError> {
    let own_channel = timeout(BEGIN_LIMIT, subscribe(listener))
        .await
        .map_err(|_| ListenError::Deaf)??;
    connected.send_replace(true);
    arrivals.notify_one(); // for jobs that were enqueued before this connection listened
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = true;
    loop {
        tokio::select! {
            received = listener.try_recv() => match received? {
                Some(notification) if notification.channel() == CHANNEL => arrivals.notify_one(),
                Some(_) => heard = true,
                None => return Err(ListenError::Lost),
            },
            _ = heartbeat.tick() => {
                if !heard {
                    return Err(ListenError::Deaf);
                }
                heard = false;
                // A server that was set to read-only sends notifications. We would not hear those
                // of the writable one.
                let sending = sqlx::query!(
                    "select pg_notify($1, '')
                     where not current_setting('transaction_read_only')::boolean",
                    own_channel,
                )
                .execute(&mut *listener);
                timeout(HEARTBEAT, sending).await.map_err(|_| ListenError::Deaf)??;
            }
        }
    }
}

/// Subscribes to the channel of all workers, and to one that only this listener uses.
async fn subscribe(listener: &mut PgListener) -> Result<String, sqlx::Error> {
    let backend = sqlx::query_scalar!(r#"select pg_backend_pid() as "pid!""#)
        .fetch_one(&mut *listener)
        .await?;
    let own_channel = format!("queue_listener_{backend}");
    listener.listen_all([CHANNEL, &own_channel]).await?;
    Ok(own_channel)
}

/// Drops a listener whose connection may be silent. It would say farewell, and wait for the
/// response without a limit. So it first gets another connection in exchange, and the silent one is
/// dropped.
async fn discard(mut listener: PgListener, pool: &Pool) {
    loop {
        let exchange = async {
            let mut fresh = pool.servers().connect(BEGIN_LIMIT).await?;
            // A listener whose connection has ended makes another one first.
            pool.follow();
            std::mem::swap(listener.acquire().await?, &mut fresh);
            Ok::<(), sqlx::Error>(())
        };
        match timeout(BEGIN_LIMIT, exchange).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => tracing::debug!(%error, "still cannot listen"),
            Err(_) => {}
        }
        tokio::time::sleep(RECONNECT).await;
    }
}
