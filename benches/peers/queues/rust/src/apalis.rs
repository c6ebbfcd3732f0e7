//! `apalis-postgres`.

use std::time::Duration;

use apalis::prelude::{
    BackendExt, BoxDynError, Data, Strategy, TaskSink, WorkerBuilder, WorkerBuilderExt,
};
use apalis_core::worker::ext::parallelize::ParallelizeExt;
use apalis_postgres::{Config, PgPool, PostgresStorage};

use crate::{
    no_op::{NoOpHandler, NoOpJob},
    peer::{self, QueuePeer, RunningWorker},
};

/// "Larger batches can improve throughput": docs of `Config::batch_size`. The default is 10.
const BATCH: usize = 500;

const CONCURRENCY: usize = 200;

/// Beside the notifications. Its outcomes are written when it polls, so a longer interval would
/// leave the last ones unwritten for as long. (The example in its README has 5 s.)
const POLL: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub(crate) struct Apalis {
    pool: PgPool,
}

impl Apalis {
    fn storage(&self) -> PostgresStorage<NoOpJob> {
        // Without a second write that marks a job as running: claiming has locked it already, and
        // a job in either state is given to another worker if this one dies.
        let config = Config::default()
            .queue("no_op")
            .batch_size(BATCH)
            .lock_tasks(false);
        PostgresStorage::new(&self.pool).with_config(config)
    }
}

async fn run(job: NoOpJob, handler: Data<NoOpHandler>) -> Result<(), BoxDynError> {
    handler.run(&job).await;
    Ok(())
}

impl QueuePeer for Apalis {
    async fn setup(url: &str) -> anyhow::Result<()> {
        PostgresStorage::setup(&peer::pool(url, 2).await?).await?;
        Ok(())
    }

    async fn connect(url: &str, connections: u32) -> anyhow::Result<Self> {
        let pool = peer::pool(url, connections).await?;
        Ok(Self { pool })
    }

    async fn enqueue(&self, job: NoOpJob) -> anyhow::Result<()> {
        self.storage().push(job).await?;
        Ok(())
    }

    async fn enqueue_many(&self, jobs: Vec<NoOpJob>) -> anyhow::Result<()> {
        self.storage().push_bulk(jobs).await?;
        Ok(())
    }

    async fn start(&self, handler: NoOpHandler) -> anyhow::Result<RunningWorker> {
        let backend = self.storage().with_pubsub();
        let backend = backend.poll_with_strategy(Strategy::new().interval(POLL));
        let worker = WorkerBuilder::new(format!("worker-{}", std::process::id()))
            .backend(backend)
            .data(handler)
            .concurrency(CONCURRENCY)
            .parallelize(tokio::spawn)
            .build(run);
        Ok(RunningWorker::holding(tokio::spawn(worker.run())))
    }

    async fn has_unfinished(&self) -> anyhow::Result<bool> {
        let exists = "select exists (select from apalis.jobs
            where status not in ('Done', 'Failed', 'Killed'))";
        Ok(sqlx::query_scalar(exists).fetch_one(&self.pool).await?)
    }
}
