//! Connections to a database that must be writable.
//!
//! sqlx's pool takes back every connection that responds. A connection to a standby responds, too,
//! and so does one to a server that has become read-only. And a pool that waits for a response
//! without a limit loses each connection whose other end has gone silent. So this pool follows
//! three rules:
//!
//! - A new connection is used only if its server can be written to ([`Servers`]).
//! - A connection is checked when it comes back, within a time limit, unless its user says that its
//!   last statement succeeded ([`PooledConnection::put_back`]). So no one can forget to close a
//!   connection whose statement failed or was cut off.
//! - After a failed check or a refused write, every idle connection is checked before its next use.
//!
//! The normal path costs no round trip more than sqlx's own pool.

mod check;
mod connection;
mod server;
mod session;
mod transaction;
mod trust;

use std::{fmt, pin::pin, sync::Arc, time::Duration};

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

pub(crate) use self::connection::{HeldConnections, stalled};
use self::{
    check::ping,
    session::prepare,
    trust::{IdleVerdict, ServerTrust},
};
pub use self::{
    check::{ReadOnlyServer, check as check_connection},
    connection::PooledConnection,
    server::Servers,
    transaction::PooledTransaction,
};

/// A wait for a connection that takes longer may be a wait for the wrong one of several servers.
const SEARCH_AFTER: Duration = Duration::from_millis(200);

/// How a pool connects.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// The servers. One of them can be written to.
    pub servers: Servers,
    /// How many connections the pool makes at most.
    pub max_connections: u32,
    /// How long a caller waits for a connection at most.
    pub acquire_timeout: Duration,
}

/// A pool of connections. Cheap to clone.
#[derive(Clone)]
pub struct Pool {
    inner: PgPool,
    servers: Servers,
    /// Shared with the pools that are derived from this one.
    trust: Arc<ServerTrust>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool that connects on first use, so that a process can start while the database is away.
    pub fn new(settings: PoolSettings) -> Self {
        Self::with_trust(settings, Arc::default(), &[])
    }

    fn with_trust(
        settings: PoolSettings,
        trust: Arc<ServerTrust>,
        session: &'static [&'static str],
    ) -> Self {
        let PoolSettings {
            servers,
            max_connections,
            acquire_timeout,
        } = settings;
        let (after_connect, before_acquire) = (trust.clone(), trust.clone());
        let inner = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(acquire_timeout)
            .test_before_acquire(false)
            .after_connect(move |conn, _| {
                let trust = after_connect.clone();
                Box::pin(async move {
                    let prepared = prepare(conn, session).await;
                    trust.connected(&prepared);
                    prepared
                })
            })
            .before_acquire(move |conn, state| {
                let trust = before_acquire.clone();
                Box::pin(async move {
                    let tested = match trust.judge(state.idle_for, state.age) {
                        IdleVerdict::Use => return Ok(true),
                        // Not `Ok(false)`: the farewell of a silent connection has no time limit.
                        IdleVerdict::Discard => return Err(sqlx::Error::PoolTimedOut),
                        IdleVerdict::Ping => ping(conn).await,
                        IdleVerdict::Check => check_connection(conn).await,
                    };
                    if let Err(error) = &tested {
                        trust.idle_failed(error);
                    }
                    tested.map(|()| true)
                })
            })
            .connect_lazy_with(servers.current());
        Self {
            inner,
            servers,
            trust,
        }
    }

    /// Another pool to the same servers. Its connections begin with these settings.
    pub(crate) fn derive(&self, max_connections: u32, session: &'static [&'static str]) -> Self {
        let settings = PoolSettings {
            servers: self.servers.clone(),
            max_connections,
            acquire_timeout: self.inner.options().get_acquire_timeout(),
        };
        Self::with_trust(settings, self.trust.clone(), session)
    }

    /// Another pool to the same servers, which shares what this one learns about them.
    #[must_use]
    pub fn beside(&self, max_connections: u32) -> Self {
        self.derive(max_connections, &[])
    }

    /// A connection to a server that can be written to.
    pub async fn acquire(&self) -> Result<PooledConnection, sqlx::Error> {
        // Boxed, as sqlx's future is large, and every caller's would contain it.
        let acquired = if self.servers.is_one() {
            Box::pin(self.inner.acquire()).await
        } else {
            Box::pin(self.acquire_from_several()).await
        };
        match acquired {
            Ok(conn) => Ok(PooledConnection::new(conn, self.trust.clone())),
            Err(error) => {
                self.trust.doubt();
                Err(error)
            }
        }
    }

    /// Looks for the writable server while no connection can be had.
    async fn acquire_from_several(
        &self,
    ) -> Result<sqlx::pool::PoolConnection<sqlx::Postgres>, sqlx::Error> {
        let limit = self.inner.options().get_acquire_timeout();
        let acquiring = async {
            loop {
                self.follow();
                let mut acquiring = pin!(self.inner.acquire());
                loop {
                    let acquired = timeout(SEARCH_AFTER, &mut acquiring).await;
                    if let Ok(Ok(conn)) = acquired {
                        return Ok(conn);
                    }
                    self.servers.find_writable().await;
                    match acquired {
                        Ok(Err(error)) if self.follows() => return Err(error),
                        Ok(_) => break,
                        // What is waited for is the wrong server.
                        Err(_) if !self.follows() => break,
                        Err(_) => {}
                    }
                }
            }
        };
        timeout(limit, acquiring)
            .await
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    fn follows(&self) -> bool {
        let (used, current) = (self.inner.connect_options(), self.servers.current());
        used.get_host() == current.get_host() && used.get_port() == current.get_port()
    }

    /// Makes new connections to the server that was found writable.
    pub(crate) fn follow(&self) {
        if !self.follows() {
            self.inner.set_connect_options(self.servers.current());
        }
    }

    /// Begins a transaction on a connection of its own.
    pub async fn begin(&self) -> Result<PooledTransaction, sqlx::Error> {
        PooledTransaction::begin(self.acquire().await?).await
    }

    /// The servers, for connections that no pool has.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// sqlx's pool, for what accepts nothing else. It takes back every connection.
    pub(crate) fn unguarded(&self) -> &PgPool {
        &self.inner
    }

    /// Records that a write was refused, or had no response in time, though a connection was there.
    /// Every idle connection is checked before its next use. After several refused writes, none of
    /// those that exist now is used again.
    pub fn write_refused(&self) {
        self.trust.write_refused();
    }

    /// Records that a write was committed.
    pub fn write_committed(&self) {
        self.trust.write_committed();
    }

    /// How long ago a write was refused, if none was committed since.
    pub fn last_refused(&self) -> Option<Duration> {
        self.trust.last_refused()
    }

    /// Has every idle connection checked before its next use, as another has gone silent.
    pub(crate) fn doubt(&self) {
        self.trust.doubt();
    }

    /// True if the last connection that was made was to a server that refuses writes.
    pub fn is_read_only(&self) -> bool {
        self.trust.is_read_only()
    }

    /// How many connections there are.
    pub fn size(&self) -> u32 {
        self.inner.size()
    }

    /// How many of them nobody uses.
    pub fn num_idle(&self) -> usize {
        self.inner.num_idle()
    }

    /// How many there may be.
    pub fn max_connections(&self) -> u32 {
        self.inner.options().get_max_connections()
    }

    /// Closes the pool, and waits until every connection has come back.
    pub async fn close(&self) {
        self.inner.close().await;
    }
}

/// For tests: the connections of this pool are not checked when they are made.
impl From<PgPool> for Pool {
    fn from(inner: PgPool) -> Self {
        let options: PgConnectOptions = inner.connect_options().as_ref().clone();
        Self {
            inner,
            servers: Servers::new(vec![options]),
            trust: Arc::default(),
        }
    }
}

impl From<&PgPool> for Pool {
    fn from(inner: &PgPool) -> Self {
        inner.clone().into()
    }
}

impl From<&Pool> for Pool {
    fn from(pool: &Pool) -> Self {
        pool.clone()
    }
}
