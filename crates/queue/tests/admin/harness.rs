//! A queue, jobs in each state, and the functions for operators, called as operators call them.

use std::{path::Path, time::Duration};

use embedded_postgres::{apply_migrations, testing::TestDatabase};
use queue::{
    Attempt, Job, JobArgs, JobError, JobId, NewJob,
    admin::{
        self, ChangedJob, CountPrecision, DeadLetterFilter, JobChange, JobCount, JobDetails,
        JobFilter, JobPage, JobState,
    },
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

#[derive(Serialize, Deserialize)]
pub(crate) struct Letter {
    pub(crate) number: u32,
}

impl JobArgs for Letter {
    const NAME: &'static str = "letter";
    const MAX_ATTEMPTS: u16 = 3;
}

impl Job<()> for Letter {
    async fn run(&self, (): &(), _: &Attempt) -> Result<(), JobError> {
        Ok(())
    }
}

/// A database of its own, with the queue's tables.
pub(crate) struct AdminHarness {
    pub(crate) pool: PgPool,
}

impl AdminHarness {
    pub(crate) async fn start() -> Self {
        let database = TestDatabase::prepared("queue", async |pool| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
            apply_migrations(pool, &folder).await.unwrap();
        })
        .await;
        let pool = database.pool().await;
        Self { pool }
    }

    pub(crate) async fn run(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.pool).await.unwrap();
    }

    pub(crate) async fn job(&self) -> JobId {
        self.enqueue(NewJob::of(&Letter { number: 7 }).unwrap())
            .await
    }

    pub(crate) async fn scheduled(&self) -> JobId {
        let job = NewJob::of(&Letter { number: 7 }).unwrap();
        self.enqueue(job.delay(Duration::from_hours(1))).await
    }

    pub(crate) async fn keyed(&self, key: &str) -> JobId {
        self.enqueue(NewJob::of(&Letter { number: 7 }).unwrap().unique_key(key))
            .await
    }

    pub(crate) async fn enqueue(&self, job: NewJob) -> JobId {
        let mut conn = self.pool.acquire().await.unwrap();
        queue::enqueue_all(&mut conn, &[job]).await.unwrap()[0].unwrap()
    }

    /// As a worker claims it.
    pub(crate) async fn running(&self) -> JobId {
        let id = self.job().await;
        sqlx::query(
            "update queue.jobs set ready = false, run_at = now() + interval '30 s', claimed_at = now(),
                 claim = claim + 1, attempts = attempts + 1, locked_by = 'host:1' where id = $1",
        )
        .bind(id)
        .execute(&self.pool)
        .await
        .unwrap();
        id
    }

    /// As a worker schedules it after a failure.
    pub(crate) async fn failed(&self, error: &str) -> JobId {
        let id = self.running().await;
        sqlx::query(
            "update queue.jobs set locked_by = null, errors = queue.with_error(errors, attempts, $2) where id = $1",
        )
        .bind(id)
        .bind(error)
        .execute(&self.pool)
        .await
        .unwrap();
        id
    }

    pub(crate) async fn dead(&self, error: &str) -> JobId {
        let id = self.failed(error).await;
        self.discard(&[id], false).await;
        id
    }

    pub(crate) async fn retry(&self, ids: &[JobId]) -> Vec<ChangedJob> {
        let mut conn = self.pool.acquire().await.unwrap();
        let mut tx = admin::begin(&mut conn).await.unwrap();
        let changed = admin::retry(&mut tx, ids).await.unwrap();
        tx.commit().await.unwrap();
        changed
    }

    pub(crate) async fn discard(&self, ids: &[JobId], force: bool) -> Vec<ChangedJob> {
        let mut conn = self.pool.acquire().await.unwrap();
        let mut tx = admin::begin(&mut conn).await.unwrap();
        let changed = admin::discard(&mut tx, ids, force).await.unwrap();
        tx.commit().await.unwrap();
        changed
    }

    pub(crate) async fn requeue(&self, ids: &[JobId]) -> admin::RequeueResult {
        let mut conn = self.pool.acquire().await.unwrap();
        let mut tx = admin::begin(&mut conn).await.unwrap();
        let requeued = admin::requeue(&mut tx, ids).await.unwrap();
        tx.commit().await.unwrap();
        requeued
    }

    pub(crate) async fn requeue_all(
        &self,
        filter: &DeadLetterFilter,
        limit: usize,
        from: Option<admin::DeadLetterCursor>,
    ) -> (admin::RequeueResult, Option<admin::DeadLetterCursor>) {
        let mut conn = self.pool.acquire().await.unwrap();
        let mut tx = admin::begin(&mut conn).await.unwrap();
        let requeued = admin::requeue_all(&mut tx, filter, limit, from)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        requeued
    }

    pub(crate) async fn show(&self, id: JobId) -> Option<JobDetails> {
        let mut conn = self.pool.acquire().await.unwrap();
        let mut tx = admin::begin(&mut conn).await.unwrap();
        admin::show(&mut tx, id).await.unwrap()
    }

    pub(crate) async fn state(&self, id: JobId) -> JobState {
        self.show(id).await.unwrap().state
    }

    pub(crate) async fn list(&self, filter: JobFilter) -> JobPage {
        let mut conn = self.pool.acquire().await.unwrap();
        let mut tx = admin::begin(&mut conn).await.unwrap();
        admin::list(&mut tx, &filter).await.unwrap()
    }

    pub(crate) async fn ids(&self, filter: JobFilter) -> Vec<JobId> {
        let page = self
            .list(JobFilter {
                limit: 100,
                ..filter
            })
            .await;
        page.jobs.iter().map(|job| job.id).collect()
    }

    pub(crate) async fn stats(&self) -> admin::QueueStats {
        let mut conn = self.pool.acquire().await.unwrap();
        let mut tx = admin::begin(&mut conn).await.unwrap();
        admin::stats(&mut tx).await.unwrap()
    }
}

pub(crate) fn exactly(count: i64) -> JobCount {
    JobCount {
        count,
        precision: CountPrecision::Exact,
    }
}

pub(crate) fn of_state(state: JobState) -> JobFilter {
    JobFilter {
        state: Some(state),
        ..JobFilter::default()
    }
}

pub(crate) fn results(changed: &[ChangedJob]) -> Vec<JobChange> {
    changed.iter().map(|changed| changed.result).collect()
}
