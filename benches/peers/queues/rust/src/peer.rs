//! What a queue must be able to do to be measured.

use std::{any::Any, future::Future, str::FromStr};

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::no_op::{NoOpHandler, NoOpJob};

/// A queue, used as its documentation says.
pub(crate) trait QueuePeer: Clone + Send + Sync + Sized + 'static {
    /// Makes the tables in an empty database.
    async fn setup(url: &str) -> anyhow::Result<()>;

    /// Connects, with at most so many connections for enqueueing.
    fn connect(url: &str, connections: u32) -> impl Future<Output = anyhow::Result<Self>> + Send;

    /// Enqueues one job and commits it.
    fn enqueue(&self, job: NoOpJob) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Enqueues jobs in one call, in the fastest way that the queue offers.
    fn enqueue_many(&self, jobs: Vec<NoOpJob>) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Starts a worker.
    fn start(
        &self,
        handler: NoOpHandler,
    ) -> impl Future<Output = anyhow::Result<RunningWorker>> + Send;

    /// Are there jobs that are not marked as done?
    fn has_unfinished(&self) -> impl Future<Output = anyhow::Result<bool>> + Send;
}

/// Whatever must live for a worker to run on.
pub(crate) struct RunningWorker(#[expect(dead_code, reason = "only held")] Box<dyn Any + Send>);

impl RunningWorker {
    pub(crate) fn holding(held: impl Any + Send) -> Self {
        Self(Box::new(held))
    }
}

/// A pool that does not ask a connection whether it is alive before each use: that would double the
/// round trips.
pub(crate) async fn pool(url: &str, connections: u32) -> anyhow::Result<PgPool> {
    let options = PgPoolOptions::new()
        .max_connections(connections)
        .test_before_acquire(false);
    Ok(options
        .connect_with(PgConnectOptions::from_str(url)?)
        .await?)
}
