//! The observer: one worker at a time reads from the database what concerns all processes, and shows it on its `/metrics`.
//!
//! It works beside the jobs, on a connection of its own, and can neither hold them up nor end them: what cannot be read is
//! missing from the metrics until it can be read again. When its process or its connection is gone, another worker takes
//! over within seconds.

use std::{
    collections::BTreeSet,
    fmt::Display,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use queue::admin::{self, AdminError, Stats};
use sqlx::{Connection, PgConnection, PgPool};
use store::{
    Keyring,
    limit_log::{self, Limit},
    observe::{self, Observer},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::ObserverConfig,
    metrics::observed::{self, Counts},
    receiver::api::daily_budget,
};

/// Between two looks, and between two tries to become the observer.
const INTERVAL: Duration = Duration::from_secs(5);

/// What is shown of it: a page of metrics, empty where there is no worker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page(Arc<RwLock<String>>);

impl Page {
    /// The page as it is now.
    pub(crate) fn text(&self) -> String {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn show(&self, text: String) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = text;
    }
}

/// A worker's part in it.
pub(crate) struct Watch {
    pool: PgPool,
    budget: Limit,
    sms_price: f64,
    keyring: Arc<Keyring>,
    page: Page,
    /// What could not be read the last time: it is logged once.
    unread: BTreeSet<&'static str>,
}

impl Watch {
    pub(crate) fn new(
        config: &ObserverConfig,
        pool: PgPool,
        keyring: Arc<Keyring>,
        page: Page,
    ) -> Self {
        Self {
            pool,
            budget: daily_budget(config.daily_budget),
            sms_price: config.sms_price,
            keyring,
            page,
            unread: BTreeSet::new(),
        }
    }

    /// Observes whenever nobody else does, until `stop`. Then the lock goes with the connection.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let page = self.page.clone();
        tokio::select! {
            () = self.watch() => {}
            () = stop.cancelled() => {}
        }
        page.show(String::new());
    }

    async fn watch(&mut self) {
        loop {
            self.page.show(observed::page(false, &Counts::default()));
            let became = Observer::try_become(&self.pool).await;
            if let Some(Some(mut observer)) = self.read("observer", became) {
                tracing::info!("observes the database for the metrics of all processes");
                self.observe(observer.conn()).await;
                tracing::warn!("observes no more: the connection was lost");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Looks again and again, for as long as the connection lasts.
    async fn observe(&mut self, conn: &mut PgConnection) {
        loop {
            let counts = self.look(conn).await;
            self.page.show(observed::page(true, &counts));
            tokio::time::sleep(INTERVAL).await;
            if conn.ping().await.is_err() {
                return;
            }
        }
    }

    /// One look at everything. What cannot be read leaves the rest alone.
    async fn look(&mut self, conn: &mut PgConnection) -> Counts {
        let queue = queue(conn).await;
        let messages = observe::messages(conn).await;
        let sends = observe::sends(conn).await;
        let budget = limit_log::left(conn, &self.keyring, &self.budget).await;
        let postgres = observe::postgres(conn).await;
        Counts {
            queue: self.read("queue", queue),
            messages: self.read("messages", messages),
            sends: self
                .read("sends", sends)
                .map(|sends| (sends, self.sms_price)),
            budget: self
                .read("budget", budget)
                .map(|left| (left, self.budget.most)),
            postgres: self.read("postgres", postgres),
        }
    }

    /// What was read. What was not is logged, but not again and again.
    fn read<T, E: Display>(&mut self, what: &'static str, read: Result<T, E>) -> Option<T> {
        match read {
            Ok(read) => {
                self.unread.remove(what);
                Some(read)
            }
            Err(error) => {
                if self.unread.insert(what) {
                    tracing::warn!(what, %error, "cannot be observed: missing from the metrics until it can");
                }
                None
            }
        }
    }
}

/// The jobs, and how many workers give signs of life.
async fn queue(conn: &mut PgConnection) -> Result<(Stats, usize), AdminError> {
    let mut tx = admin::begin(conn).await?;
    let stats = admin::stats(&mut tx).await?;
    let workers = admin::workers(&mut tx).await?;
    tx.rollback().await?;
    let alive = workers.workers.iter().filter(|worker| !worker.stale);
    Ok((stats, alive.count()))
}
