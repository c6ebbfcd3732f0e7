//! `riverqueue`, River for Rust.

use std::time::Duration;

use riverqueue::{
    Client, InsertOpts, Job, QueueConfig, WorkContext, WorkOutcome, Workers,
    migrate::PostgresMigrator,
};
use sqlx::PgPool;

use crate::{
    no_op::{NoOpHandler, NoOpJob},
    peer::{self, QueuePeer, RunningWorker},
};

/// "Throughput is limited by this value": docs of `ClientBuilder::fetch_cooldown`. At the least
/// value, 1 ms, an idle client polls no more often, but a loaded one fetches small batches.
const FETCH_COOLDOWN: Duration = Duration::from_millis(10);

/// A fetch takes at most as many jobs as there are free workers, so it bounds the batch, too. River
/// allows up to 10,000: docs of `QUEUE_NUM_WORKERS_MAX`.
const WORKERS: usize = 1000;

const QUEUE: &str = "no_op";

#[derive(Clone)]
pub(crate) struct River {
    pool: PgPool,
    /// A client that only inserts.
    producer: Client,
}

fn options() -> InsertOpts {
    InsertOpts::default().with_queue(QUEUE)
}

impl QueuePeer for River {
    async fn setup(url: &str) -> anyhow::Result<()> {
        let pool = peer::pool(url, 2).await?;
        PostgresMigrator::new(pool).migrate_up().await?;
        Ok(())
    }

    async fn connect(url: &str, connections: u32) -> anyhow::Result<Self> {
        let pool = peer::pool(url, connections).await?;
        // It paces notifications of inserts, too.
        let producer = Client::builder(pool.clone()).fetch_cooldown(FETCH_COOLDOWN);
        Ok(Self {
            pool,
            producer: producer.build()?,
        })
    }

    async fn enqueue(&self, job: NoOpJob) -> anyhow::Result<()> {
        self.producer.insert(job).opts(options()).await?;
        Ok(())
    }

    async fn enqueue_many(&self, jobs: Vec<NoOpJob>) -> anyhow::Result<()> {
        let jobs = jobs.into_iter().map(|job| (job, options()));
        self.producer.insert_many(jobs).await?;
        Ok(())
    }

    async fn start(&self, handler: NoOpHandler) -> anyhow::Result<RunningWorker> {
        let mut workers = Workers::new();
        workers.add_fn(move |_: WorkContext, job: Job<NoOpJob>| {
            let handler = handler.clone();
            async move {
                handler.run(&job.args).await;
                anyhow::Ok(WorkOutcome::Complete)
            }
        })?;
        let client = Client::builder(self.pool.clone())
            .workers(workers)
            .fetch_cooldown(FETCH_COOLDOWN)
            .queue(QUEUE, QueueConfig::new(WORKERS))
            .build()?;
        Ok(RunningWorker::holding(client.start()?))
    }

    async fn has_unfinished(&self) -> anyhow::Result<bool> {
        let exists = "select exists (select from river_job
            where state in ('available', 'pending', 'retryable', 'running', 'scheduled'))";
        Ok(sqlx::query_scalar(exists).fetch_one(&self.pool).await?)
    }
}
