//! For tests of jobs: a queue without background tasks, which runs jobs one by one when the test
//! asks for it.
//!
//! A [`TestQueue`] claims jobs, runs them and writes their outcomes with the statements and the
//! code of a [`Runner`]. Only the order of events is up to the test, and time passes
//! when the test says so. It needs a database of its own, and panics when the database reports an
//! error.
//!
//! ```ignore
//! let queue = queue::testing::TestQueue::new(pool.clone()).register::<SendReceipt, _>(deps);
//! queue::enqueue(&mut conn, &SendReceipt { order: 7 }).await?;
//! let ran = queue.drain().await;
//! assert_eq!(ran[0].outcome, JobOutcome::Retried { delay: Duration::from_secs(90), error: "busy".into() });
//! queue.advance(Duration::from_secs(90)).await;
//! assert_eq!(queue.run_one().await.unwrap().attempt, 2);
//! queue.assert_empty().await;
//! ```
#![expect(
    clippy::expect_used,
    reason = "a test whose database reports an error can only fail"
)]

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    ack,
    attempt::JobId,
    claim::claim_ready,
    claimed::ClaimedJob,
    database::StatementLimit,
    execute::{AttemptEnd, Executor},
    job::{Job, JobArgs},
    kind::JobKind,
    lease::Leases,
    outcome::Outcome,
    pool::Pool,
    runner::Runner,
    scan_cursor::ScanCursor,
    schedule::{ScheduleError, Schedules},
    settings::RunnerSettings,
    timers::Timers,
};

/// More jobs than any test drains. Beyond that, jobs enqueue each other without end.
const ENDLESS: usize = 10_000;

/// One attempt that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedAttempt {
    /// The kind of job.
    pub kind: &'static str,
    /// Its number.
    pub id: JobId,
    /// Which attempt it was, from 1.
    pub attempt: u16,
    /// The outcome.
    pub outcome: JobOutcome,
}

/// The outcome of an attempt, as the database has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobOutcome {
    /// The job completed.
    Completed,
    /// The attempt failed, and the job runs again.
    Retried {
        /// After this delay.
        delay: Duration,
        /// The error.
        error: String,
    },
    /// The job runs again, and the attempt does not count.
    Snoozed {
        /// After this delay.
        delay: Duration,
    },
    /// The job is a dead letter.
    DeadLetter {
        /// As in `queue.dead_jobs`.
        reason: &'static str,
        /// The error.
        error: String,
    },
    /// Another worker has the job: nothing was written.
    LeaseLost,
}

/// The queue of one test.
pub struct TestQueue {
    pool: Pool,
    settings: RunnerSettings,
    kinds: Vec<Arc<JobKind>>,
    timers: Timers,
    leases: Leases,
}

impl std::fmt::Debug for TestQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds: Vec<_> = self.kinds.iter().map(|kind| kind.name).collect();
        f.debug_struct("TestQueue")
            .field("kinds", &kinds)
            .finish_non_exhaustive()
    }
}

impl TestQueue {
    /// A queue without kinds on the database of this pool, whose connections it shares.
    pub fn new(pool: impl Into<Pool>) -> Self {
        let pool = pool.into();
        let settings = RunnerSettings::new("test");
        let timers = Timers {
            pool: pool.clone(),
            schedules: Schedules::default(),
            arrivals: Arc::default(),
            timer_set: Arc::default(),
        };
        Self {
            leases: Leases::new(settings.lease),
            kinds: Vec::new(),
            pool,
            settings,
            timers,
        }
    }

    /// A queue with the kinds of jobs of this runner, on its database. The schedules are left out:
    /// a test enqueues the scheduled jobs that it needs.
    pub fn of(runner: Runner) -> Self {
        let (pool, kinds) = runner.into_kinds();
        Self {
            kinds,
            ..Self::new(pool)
        }
    }

    /// Claims jobs and writes their outcomes through this pool. The jobs keep their own.
    #[must_use]
    pub fn claiming_on(self, pool: impl Into<Pool>) -> Self {
        Self {
            kinds: self.kinds,
            ..Self::new(pool)
        }
    }

    /// Adds a kind. A kind that was added before is replaced.
    #[must_use]
    pub fn register<J, D>(mut self, deps: D) -> Self
    where
        J: Job<D>,
        D: Send + Sync + 'static,
    {
        self.kinds.retain(|kind| kind.name != J::NAME);
        let kind = JobKind::new::<J, D>(deps, 1, Arc::new(Notify::new()));
        self.kinds.push(Arc::new(kind));
        self
    }

    /// Adds a job that is enqueued at the times of `cron`, as
    /// [`Runner::schedule`](crate::Runner::schedule) does.
    pub fn schedule<J: JobArgs>(
        mut self,
        name: &str,
        cron: &str,
        job: &J,
    ) -> Result<Self, ScheduleError> {
        self.timers.schedules.add(name, cron, job)?;
        Ok(self)
    }

    /// Runs the first job of all registered kinds. `None` if none is ready.
    pub async fn run_one(&self) -> Option<FinishedAttempt> {
        self.pass_time().await;
        let (kind, mut job) = self.claim().await?;
        let executor = Executor {
            kind: kind.clone(),
            leases: self.leases.clone(),
            cut_off: CancellationToken::new(),
            link_trace: None,
        };
        kind.take_permit();
        let end = executor.run(&mut job).await;
        let outcome = self.write(&job, end).await;
        self.leases.remove(job.fence);
        Some(FinishedAttempt {
            kind: kind.name,
            id: job.fence.job,
            attempt: job.attempt,
            outcome,
        })
    }

    /// Runs ready jobs, in their order, until none is ready.
    pub async fn drain(&self) -> Vec<FinishedAttempt> {
        let mut all = Vec::new();
        while let Some(ran) = self.run_one().await {
            all.push(ran);
            assert!(
                all.len() < ENDLESS,
                "no end of jobs; the last was {:?}",
                all.last()
            );
        }
        all
    }

    /// Lets time pass, by moving all times in the queue into the past. Jobs become due, leases run
    /// out, schedules become due, and rate limits recover.
    pub async fn advance(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let mut tx = self.pool.begin().await.expect("a transaction");
        sqlx::query!(
            "update queue.jobs as j
             set position = j.position - passed, run_at = j.run_at - passed,
                 created_at = j.created_at - passed, claimed_at = j.claimed_at - passed
             from make_interval(secs => $1) as passed",
            seconds
        )
        .execute(&mut *tx)
        .await
        .expect("jobs grow older");
        sqlx::query!(
            "update queue.dead_jobs as d set died_at = d.died_at - passed, created_at = d.created_at - passed
             from make_interval(secs => $1) as passed",
            seconds
        )
        .execute(&mut *tx)
        .await
        .expect("dead letters grow older");
        sqlx::query!(
            "update queue.schedules as s
             set next_run_at = s.next_run_at - passed, last_run_at = s.last_run_at - passed
             from make_interval(secs => $1) as passed",
            seconds
        )
        .execute(&mut *tx)
        .await
        .expect("schedules come nearer");
        sqlx::query!(
            "update queue.rate_limits set tat_ns = tat_ns - ($1::float8 * 1000000)::bigint * 1000",
            seconds
        )
        .execute(&mut *tx)
        .await
        .expect("rate limits recover");
        tx.commit().await.expect("time passes");
    }

    /// The jobs of this kind that have not ended, in the order in which they will run.
    pub async fn enqueued<J: JobArgs>(&self) -> Vec<J> {
        let args = sqlx::query_scalar!(
            r#"select args::text as "args!" from queue.jobs where kind = $1
               order by ready desc, case when ready then position else run_at end, id"#,
            J::NAME
        )
        .fetch_all(&mut *self.pool.acquire().await.expect("a connection"))
        .await
        .expect("the jobs");
        args.iter()
            .map(|args| serde_json::from_str(args).expect("arguments that can be read"))
            .collect()
    }

    /// Panics if a job is live or a dead letter.
    pub async fn assert_empty(&self) {
        let left = sqlx::query_scalar!(
            r#"select format('%s %s: %s', kind, id, state) as "left!" from (
                   select kind, id, case when ready then 'ready' when locked_by is null then 'scheduled'
                                         else 'running' end as state
                   from queue.jobs
                   union all select kind, id, 'dead, ' || reason from queue.dead_jobs
               ) as jobs order by id"#
        )
        .fetch_all(&mut *self.pool.acquire().await.expect("a connection"))
        .await
        .expect("the jobs");
        assert!(left.is_empty(), "jobs are left: {left:#?}");
    }

    /// Does what is due by the clock.
    async fn pass_time(&self) {
        let stored = self.timers.schedules.store(&self.pool).await;
        stored.expect("the schedules are stored");
        let (mut cursor, mut limit) = (ScanCursor::new(), StatementLimit::default());
        while self
            .timers
            .pass(&mut cursor, &mut limit)
            .await
            .expect("a scan")
            == Duration::ZERO
        {}
    }

    async fn claim(&self) -> Option<(Arc<JobKind>, ClaimedJob)> {
        let names: Vec<String> = self.kinds.iter().map(|kind| kind.name.to_owned()).collect();
        let first = sqlx::query_scalar!(
            "select kind from queue.jobs
             where ready and kind = any($1) and kind not in (select kind from queue.paused)
             order by position, id limit 1",
            &names
        )
        .fetch_optional(&mut *self.pool.acquire().await.expect("a connection"))
        .await
        .expect("the jobs")?;
        let sent = Instant::now();
        let mut limit = StatementLimit::default();
        let claimed = claim_ready(
            &self.pool,
            &mut limit,
            &self.settings,
            &[first],
            &[1],
            &[None],
        )
        .await;
        let job = claimed.expect("a claim").pop()?;
        self.leases.hold(&job.job, sent);
        let kind = self.kinds.iter().find(|kind| kind.name == job.kind)?;
        Some((kind.clone(), job.job))
    }

    async fn write(&self, job: &ClaimedJob, end: AttemptEnd) -> JobOutcome {
        let outcome = match end {
            AttemptEnd::Written(outcome) => return outcome.into(),
            AttemptEnd::LeaseLost { .. } => return JobOutcome::LeaseLost,
            AttemptEnd::Acknowledge(outcome) => outcome,
        };
        let written = ack::write_one(&self.pool, job, outcome.clone()).await;
        if written.expect("the outcome is written") {
            outcome.into()
        } else {
            JobOutcome::LeaseLost
        }
    }
}

impl From<Outcome> for JobOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Complete => Self::Completed,
            Outcome::Retry { delay, error } => Self::Retried { delay, error },
            Outcome::Snooze { delay } => Self::Snoozed { delay },
            Outcome::DeadLetter { reason, error } => Self::DeadLetter {
                reason: reason.as_str(),
                error,
            },
        }
    }
}
