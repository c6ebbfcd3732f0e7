//! `graphile_worker`, the rewrite of graphile-worker in Rust.

use std::time::Duration;

use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, TaskHandler, WorkerContext, WorkerOptions,
    WorkerUtils,
};
use sqlx::PgPool;

use crate::{
    no_op::{NoOpHandler, NoOpJob},
    peer::{self, QueuePeer, RunningWorker},
};

/// As in its own benchmark of throughput, `benches/perf_test.rs`, but for the interval of polling,
/// which is 5 ms there: notifications wake it.
const CONCURRENCY: usize = 500;
const LOCAL_QUEUE: usize = 5000;
const COMPLETION_DELAY: Duration = Duration::from_millis(5);

const SCHEMA: &str = "graphile_worker";

#[derive(Clone)]
pub(crate) struct GraphileWorker {
    pool: PgPool,
    utils: WorkerUtils,
}

impl TaskHandler for NoOpJob {
    const IDENTIFIER: &'static str = "no_op";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        let Some(handler) = context.get_ext::<NoOpHandler>() else {
            return Err("no handler".to_owned());
        };
        handler.run(&self).await;
        Ok(())
    }
}

impl QueuePeer for GraphileWorker {
    async fn setup(url: &str) -> anyhow::Result<()> {
        let peer = Self::connect(url, 2).await?;
        peer.utils.migrate().await?;
        Ok(())
    }

    async fn connect(url: &str, connections: u32) -> anyhow::Result<Self> {
        let pool = peer::pool(url, connections).await?;
        let utils = WorkerUtils::new(pool.clone(), SCHEMA);
        Ok(Self { pool, utils })
    }

    async fn enqueue(&self, job: NoOpJob) -> anyhow::Result<()> {
        self.utils.add_job(job, JobSpec::default()).await?;
        Ok(())
    }

    async fn enqueue_many(&self, jobs: Vec<NoOpJob>) -> anyhow::Result<()> {
        let spec = JobSpec::default();
        let jobs: Vec<_> = jobs.into_iter().map(|job| (job, &spec)).collect();
        self.utils.add_jobs(&jobs).await?;
        Ok(())
    }

    /// "Enable recovery when forced exits or node failures are part of your failure model":
    /// `docs/src/operations/deployment.md`. Its intervals are the defaults.
    async fn start(&self, handler: NoOpHandler) -> anyhow::Result<RunningWorker> {
        let worker = WorkerOptions::default()
            .pg_pool(self.pool.clone())
            .schema(SCHEMA)
            .concurrency(CONCURRENCY)
            .local_queue(LocalQueueConfig::default().with_size(LOCAL_QUEUE))
            .complete_job_batch_delay(COMPLETION_DELAY)
            .fail_job_batch_delay(COMPLETION_DELAY)
            .worker_recovery(graphile_worker::WorkerRecoveryConfig::default().enabled(true))
            .add_extension(handler)
            .define_job::<NoOpJob>()
            .init();
        let worker = Box::pin(worker).await?;
        let running = tokio::spawn(async move { worker.run().await });
        Ok(RunningWorker::holding(running))
    }

    async fn has_unfinished(&self) -> anyhow::Result<bool> {
        let exists = "select exists (select from graphile_worker._private_jobs)";
        Ok(sqlx::query_scalar(exists).fetch_one(&self.pool).await?)
    }
}
