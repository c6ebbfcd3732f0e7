//! The servers that a process may connect to, and which of them can be written to.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::{check::no_response, session::prepare};

/// How long a connection to one of several servers may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// How long it is believed that the server that was found writable still is.
const FOUND_LATELY: Duration = Duration::from_secs(1);

/// The servers of `DATABASE_URL`, in its order. Cheap to clone: all clones know the server that was
/// last found writable.
#[derive(Clone)]
pub struct Servers(Arc<ServerList>);

struct ServerList {
    all: Vec<PgConnectOptions>,
    current: AtomicUsize,
    /// When the current server was last found writable. Locked while one task searches.
    found: Mutex<Option<Instant>>,
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.0.all.iter().map(PgConnectOptions::get_host);
        f.debug_list().entries(hosts).finish()
    }
}

impl Servers {
    /// # Panics
    /// If there is none.
    pub fn new(all: Vec<PgConnectOptions>) -> Self {
        assert!(!all.is_empty(), "a database has a server");
        Self(Arc::new(ServerList {
            all,
            current: AtomicUsize::new(0),
            found: Mutex::new(None),
        }))
    }

    /// All of them.
    pub fn all(&self) -> &[PgConnectOptions] {
        &self.0.all
    }

    /// The same servers, with other options for each.
    #[must_use]
    pub fn with(&self, change: impl Fn(PgConnectOptions) -> PgConnectOptions) -> Self {
        Self::new(self.0.all.iter().cloned().map(change).collect())
    }

    pub(super) fn is_one(&self) -> bool {
        self.0.all.len() == 1
    }

    /// The server to connect to.
    pub fn current(&self) -> PgConnectOptions {
        self.0.all[self.0.current.load(Ordering::Acquire)].clone()
    }

    /// Makes a connection that no pool has, to the first server that can be written to.
    ///
    /// # Errors
    /// What the last server said, or that none did within the limit.
    pub async fn connect(&self, limit: Duration) -> Result<PgConnection, sqlx::Error> {
        let limit_each = if self.is_one() { limit } else { CONNECT_LIMIT };
        let connecting = async {
            let mut last = no_response();
            for (at, options) in self.0.all.iter().enumerate() {
                match timeout(limit_each, Box::pin(connect_to(options))).await {
                    Ok(Ok(conn)) => {
                        self.0.current.store(at, Ordering::Release);
                        return Ok(conn);
                    }
                    Ok(Err(error)) => last = error,
                    Err(_) => last = no_response(),
                }
            }
            Err(last)
        };
        timeout(limit, connecting)
            .await
            .unwrap_or_else(|_| Err(no_response()))
    }

    /// Finds the server that can be written to, unless it was found a moment ago.
    pub(super) async fn find_writable(&self) {
        let mut found = self.0.found.lock().await;
        if found.is_some_and(|found| found.elapsed() < FOUND_LATELY) {
            return;
        }
        let limit = CONNECT_LIMIT * u32::try_from(self.0.all.len()).unwrap_or(1);
        let connected = self.connect(limit).await;
        *found = connected.is_ok().then(Instant::now);
    }
}

async fn connect_to(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let mut conn = PgConnection::connect_with(options).await?;
    prepare(&mut conn, &[]).await?;
    Ok(conn)
}
