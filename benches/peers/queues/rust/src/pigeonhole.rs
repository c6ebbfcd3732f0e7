//! Ours: the crate `queue`.

use std::{path::Path, time::Duration};

use queue::{Attempt, Job, JobArgs, JobError, NewJob, Pool, PoolSettings, Runner, RunnerSettings};
use queue::{Servers, Waker};
use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;

use crate::{
    no_op::{NoOpHandler, NoOpJob},
    peer::{self, QueuePeer, RunningWorker},
};

/// As in `crates/queue/benches`.
const CONCURRENCY: usize = 200;

#[derive(Clone)]
pub(crate) struct Pigeonhole {
    pool: Pool,
    waker: Waker,
}

impl JobArgs for NoOpJob {
    const NAME: &'static str = "no_op";
}

impl Job<NoOpHandler> for NoOpJob {
    async fn run(&self, handler: &NoOpHandler, _: &Attempt) -> Result<(), JobError> {
        handler.run(self).await;
        Ok(())
    }
}

impl QueuePeer for Pigeonhole {
    async fn setup(url: &str) -> anyhow::Result<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../migrations");
        let pool = peer::pool(url, 1).await?;
        embedded_postgres::apply_migrations(&pool, &folder).await?;
        Ok(())
    }

    async fn connect(url: &str, connections: u32) -> anyhow::Result<Self> {
        let options: PgConnectOptions = url.parse()?;
        let pool = Pool::new(PoolSettings {
            servers: Servers::new(vec![options]),
            max_connections: connections,
            acquire_timeout: Duration::from_secs(30),
        });
        let waker = Waker::start(pool.clone());
        Ok(Self { pool, waker })
    }

    async fn enqueue(&self, job: NoOpJob) -> anyhow::Result<()> {
        let mut conn = self.pool.acquire().await?;
        queue::enqueue(&mut conn, &job).await?;
        conn.put_back();
        self.waker.wake();
        Ok(())
    }

    async fn enqueue_many(&self, jobs: Vec<NoOpJob>) -> anyhow::Result<()> {
        let jobs: Result<Vec<_>, _> = jobs.iter().map(NewJob::of).collect();
        let mut conn = self.pool.acquire().await?;
        queue::enqueue_all(&mut conn, &jobs?).await?;
        conn.put_back();
        self.waker.wake();
        Ok(())
    }

    async fn start(&self, handler: NoOpHandler) -> anyhow::Result<RunningWorker> {
        let settings = RunnerSettings::new(format!("peers:{}", std::process::id()));
        let runner = Runner::new(self.pool.clone(), settings);
        let runner = runner.register::<NoOpJob, _>(handler, CONCURRENCY);
        let running = tokio::spawn(runner.run(CancellationToken::new()));
        Ok(RunningWorker::holding(running))
    }

    async fn has_unfinished(&self) -> anyhow::Result<bool> {
        let mut conn = self.pool.acquire().await?;
        let exists = sqlx::query_scalar("select exists (select from queue.jobs)");
        let has_unfinished = exists.fetch_one(&mut *conn).await?;
        conn.put_back();
        Ok(has_unfinished)
    }
}
