//! `awa`.

use std::{str::FromStr, time::Duration};

use awa::{
    Client, InsertOpts, InsertParams, JobArgs, JobResult, QueueConfig, QueueStorage,
    QueueStorageConfig, migrations,
};
use sqlx_0_8::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::sleep;

use crate::{
    no_op::{NoOpHandler, NoOpJob},
    peer::{QueuePeer, RunningWorker},
};

const QUEUE: &str = "no_op";

/// As in the benchmarks of awa's own repository, `tests/benchmark_test.rs`: no deadline a job
/// selects the short path of its storage, and this is the concurrency of its end-to-end run.
fn config() -> QueueConfig {
    QueueConfig {
        max_workers: 1024,
        poll_interval: Duration::from_millis(50),
        deadline_duration: Duration::ZERO,
        ..QueueConfig::default()
    }
}

impl JobArgs for NoOpJob {
    fn kind() -> &'static str {
        "no_op"
    }
}

#[derive(Clone)]
pub(crate) struct Awa {
    pool: PgPool,
}

fn options() -> InsertOpts {
    InsertOpts {
        queue: QUEUE.to_owned(),
        ..InsertOpts::default()
    }
}

/// With the defaults, which are also those of a client.
fn storage() -> anyhow::Result<QueueStorage> {
    Ok(QueueStorage::new(QueueStorageConfig::default())?)
}

impl Awa {
    fn client(&self, handler: NoOpHandler) -> anyhow::Result<Client> {
        let client = Client::builder(self.pool.clone())
            .queue(QUEUE, config())
            .register::<NoOpJob, _, _>(move |job, _| {
                let handler = handler.clone();
                async move {
                    handler.run(&job).await;
                    Ok(JobResult::Completed)
                }
            });
        Ok(client.build()?)
    }
}

impl QueuePeer for Awa {
    async fn setup(url: &str) -> anyhow::Result<()> {
        let awa = Self::connect(url, 10).await?;
        migrations::run(&awa.pool).await?;
        // The first client that starts on a new database decides on its storage.
        let client = awa.client(NoOpHandler::counting())?;
        client.start().await?;
        sleep(Duration::from_millis(1500)).await;
        client.shutdown(Duration::from_secs(3)).await;
        Ok(())
    }

    async fn connect(url: &str, connections: u32) -> anyhow::Result<Self> {
        let options = PgPoolOptions::new()
            .max_connections(connections)
            .test_before_acquire(false);
        let pool = options
            .connect_with(PgConnectOptions::from_str(url)?)
            .await?;
        Ok(Self { pool })
    }

    async fn enqueue(&self, job: NoOpJob) -> anyhow::Result<()> {
        awa::insert_with(&self.pool, &job, options()).await?;
        Ok(())
    }

    /// "For high-volume queue-storage producers, prefer `enqueue_params_copy`": docs of
    /// `insert_many_copy`.
    async fn enqueue_many(&self, jobs: Vec<NoOpJob>) -> anyhow::Result<()> {
        let jobs = jobs.iter();
        let jobs = jobs.map(|job| awa::model::insert::params_with(job, options()));
        let jobs: Vec<InsertParams> = jobs.collect::<Result<_, _>>()?;
        storage()?.enqueue_params_copy(&self.pool, &jobs).await?;
        Ok(())
    }

    async fn start(&self, handler: NoOpHandler) -> anyhow::Result<RunningWorker> {
        let client = self.client(handler)?;
        client.start().await?;
        Ok(RunningWorker::holding(client))
    }

    async fn has_unfinished(&self) -> anyhow::Result<bool> {
        let counts = storage()?.queue_counts(&self.pool, QUEUE).await?;
        Ok(counts.available + counts.running > 0)
    }
}
