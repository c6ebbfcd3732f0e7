//! The observer: one worker at a time reads metrics of all processes from the database, and shows
//! them on its `/metrics`.
//!
//! It has a connection of its own, so it neither delays nor ends jobs. A metric that cannot be read
//! is missing until it can be read again. When the observer's process or connection is lost,
//! another worker takes over within seconds.

use std::{
    collections::BTreeSet,
    fmt::Display,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use queue::{
    Pool,
    admin::{self, AdminError, QueueStats},
    check_connection,
};
use sqlx::PgConnection;
use store::{
    Keyring, StoreError,
    limit_log::{self, Limit},
    observe::{self, Observer},
    recovery,
};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    config::ObserverConfig,
    metrics::observed::{self, ObservedCounts},
    receiver::api::daily_budget,
};

/// The time between two reads, and between two tries to become the observer.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long becoming the observer may take.
const BECOME_LIMIT: Duration = Duration::from_secs(10);

/// How long the parts may take together: each statement has two seconds.
const READ_LIMIT: Duration = Duration::from_secs(15);

/// The observed metrics as text for `/metrics`. Empty in a process without a worker.
#[derive(Debug, Clone, Default)]
pub(crate) struct ObservedMetrics(Arc<RwLock<ObservedPage>>);

#[derive(Debug, Clone, Default)]
struct ObservedPage {
    text: String,
    /// When the observer began to read what it shows. `None` in a worker that is not the observer.
    read_at: Option<Instant>,
}

impl ObservedMetrics {
    /// The current text.
    pub(crate) fn text(&self) -> String {
        let page = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match page.read_at {
            Some(read_at) => page.text.clone() + &observed::age(read_at.elapsed()),
            None => page.text.clone(),
        }
    }

    fn show(&self, text: String, read_at: Option<Instant>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = ObservedPage { text, read_at };
    }
}

/// The observer's task in a worker. The worker observes only while no other worker does.
pub(crate) struct ObserverTask {
    pool: Pool,
    budget: Limit,
    sms_price: f64,
    /// Whether messages are recovered from Twilio.
    recovers: bool,
    keyring: Arc<Keyring>,
    shown: ObservedMetrics,
    /// What the last try could not read. It is logged once.
    unread: BTreeSet<&'static str>,
}

impl ObserverTask {
    pub(crate) fn new(
        config: &ObserverConfig,
        recovers: bool,
        pool: Pool,
        keyring: Arc<Keyring>,
        shown: ObservedMetrics,
    ) -> Self {
        Self {
            pool,
            budget: daily_budget(config.daily_budget),
            sms_price: config.sms_price,
            recovers,
            keyring,
            shown,
            unread: BTreeSet::new(),
        }
    }

    /// Observes while no other worker does, until `stop`. The lock ends with the connection.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let shown = self.shown.clone();
        tokio::select! {
            () = self.take_turns() => {}
            () = stop.cancelled() => {}
        }
        shown.show(String::new(), None);
    }

    async fn take_turns(&mut self) {
        loop {
            self.shown
                .show(observed::page(false, &ObservedCounts::default()), None);
            let became = timeout(BECOME_LIMIT, Observer::try_become(&self.pool)).await;
            let became = became.unwrap_or(Err(StoreError::TimedOut));
            if let Some(Some(mut observer)) = self.log_unread("observer", became) {
                tracing::info!("observes the database for the metrics of all processes");
                self.observe(observer.conn()).await;
                // Not closed, which would wait for a response.
                drop(observer);
                tracing::warn!("stopped observing: the connection was lost");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Reads again and again, until the connection is lost.
    async fn observe(&mut self, conn: &mut PgConnection) {
        loop {
            let started = Instant::now();
            let Ok(counts) = timeout(READ_LIMIT, self.read_all(conn)).await else {
                return;
            };
            self.shown
                .show(observed::page(true, &counts), Some(started));
            tokio::time::sleep(INTERVAL).await;
            if check_connection(conn).await.is_err() {
                return;
            }
        }
    }

    /// Reads everything once. A part that cannot be read does not affect the others.
    async fn read_all(&mut self, conn: &mut PgConnection) -> ObservedCounts {
        let queue = queue(conn).await;
        let messages = observe::messages(conn).await;
        let sends = observe::sends(conn).await;
        let budget = limit_log::left(conn, &self.keyring, &self.budget).await;
        let look_age = if self.recovers {
            recovery::oldest_look(conn).await
        } else {
            Ok(None)
        };
        let postgres = observe::postgres(conn).await;
        ObservedCounts {
            queue: self.log_unread("queue", queue),
            messages: self.log_unread("messages", messages),
            sends: self
                .log_unread("sends", sends)
                .map(|sends| (sends, self.sms_price)),
            budget: self
                .log_unread("budget", budget)
                .map(|left| (left, self.budget.most)),
            look_age: self
                .log_unread("recovery", look_age)
                .map(Option::unwrap_or_default),
            postgres: self.log_unread("postgres", postgres),
        }
    }

    /// Returns what was read. Logs an error once, until the part can be read again.
    fn log_unread<T, E: Display>(&mut self, what: &'static str, read: Result<T, E>) -> Option<T> {
        match read {
            Ok(read) => {
                self.unread.remove(what);
                Some(read)
            }
            Err(error) => {
                if self.unread.insert(what) {
                    tracing::warn!(what, %error, "cannot be read: missing from the metrics until it can");
                }
                None
            }
        }
    }
}

/// The jobs, and how many workers send heartbeats.
async fn queue(conn: &mut PgConnection) -> Result<(QueueStats, usize), AdminError> {
    let mut tx = admin::begin(conn).await?;
    let stats = admin::stats(&mut tx).await?;
    let workers = admin::workers(&mut tx).await?;
    tx.rollback().await?;
    let alive = workers.workers.iter().filter(|worker| !worker.stale);
    Ok((stats, alive.count()))
}
