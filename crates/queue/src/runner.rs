//! One worker process: its kinds of jobs, its start, its stop.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    ack::{Acks, WriteAcks},
    backend::run_worker,
    claim::{ClaimSource, Claimer},
    connections,
    database::StatementLimit,
    execute::Executor,
    feed::JobFeed,
    job::{Job, JobArgs},
    kind::JobKind,
    lease::Leases,
    listen::listen,
    metrics,
    pool::Pool,
    scan_cursor::ScanCursor,
    schedule::{ScheduleError, Schedules},
    settings::RunnerSettings,
    timers::Timers,
    watchdog::Watchdog,
    worker_registry::WorkerRegistry,
};

/// The longest time that a stop waits for the worker registry, which only operators read.
const LAST_REGISTRY_WRITE: Duration = Duration::from_secs(1);

/// The time to write the last outcomes, even if the grace period is shorter. A job whose outcome is
/// not written waits for the end of its lease and is charged an attempt.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// Runs jobs of the registered kinds.
pub struct Runner {
    pool: Pool,
    settings: RunnerSettings,
    kinds: Vec<Arc<JobKind>>,
    schedules: Schedules,
    room: Arc<Notify>,
    watchdog: Watchdog,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds: Vec<_> = self.kinds.iter().map(|kind| kind.name).collect();
        f.debug_struct("Runner")
            .field("settings", &self.settings)
            .field("kinds", &kinds)
            .finish_non_exhaustive()
    }
}

impl Runner {
    /// A runner without kinds, on the database of this pool. It makes [`crate::RUNNER_CONNECTIONS`]
    /// connections of its own, so that jobs that use up the pool do not cost each other their
    /// leases.
    pub fn new(pool: impl Into<Pool>, settings: RunnerSettings) -> Self {
        let schedules = Schedules::default();
        Self {
            pool: pool.into(),
            settings,
            kinds: Vec::new(),
            schedules,
            room: Arc::default(),
            watchdog: Watchdog::default(),
        }
    }

    /// This watchdog watches the loops of the runner.
    #[must_use]
    pub fn with_watchdog(mut self, watchdog: &Watchdog) -> Self {
        self.watchdog = watchdog.clone();
        self
    }

    /// The kinds of jobs, without the rest of the runner.
    pub(crate) fn into_kinds(self) -> (Pool, Vec<Arc<JobKind>>) {
        (self.pool, self.kinds)
    }

    /// Adds a kind, of which at most `concurrency` jobs run at once in this process. A kind that
    /// was added before is replaced.
    #[must_use]
    pub fn register<J, D>(mut self, deps: D, concurrency: usize) -> Self
    where
        J: Job<D>,
        D: Send + Sync + 'static,
    {
        self.kinds.retain(|kind| kind.name != J::NAME);
        self.kinds.push(Arc::new(JobKind::new::<J, D>(
            deps,
            concurrency.max(1),
            self.room.clone(),
        )));
        self
    }

    /// Adds a job that is enqueued at the times of `cron`: five fields, in UTC. Some process must
    /// register the kind.
    pub fn schedule<J: JobArgs>(
        mut self,
        name: &str,
        cron: &str,
        job: &J,
    ) -> Result<Self, ScheduleError> {
        self.schedules.add(name, cron, job)?;
        Ok(self)
    }

    /// Runs until `stop` is cancelled and every job was given back or its outcome written.
    ///
    /// After `stop` no job is claimed. Jobs that wait in this process are given back at once.
    /// Running jobs get the grace period. Then they are cancelled and given back, too. None of this
    /// costs an attempt. A database outage delays the runner and does not end it. But at the stop
    /// the runner waits for the database no longer than another grace period (or five seconds, if
    /// that is more). A job whose outcome was not written becomes ready when its lease runs out.
    ///
    /// # Errors
    /// If a task of the runner ended because of a bug. The other tasks were stopped in order. The
    /// process should end, so that its supervisor starts it again.
    pub async fn run(self, stop: CancellationToken) -> Result<(), RunnerDied> {
        let mut running = RunnerTasks::start(self, stop.child_token());
        let died = running.until_stop().await;
        running.stop.cancel();
        running.drain().await;
        if died { Err(RunnerDied) } else { Ok(()) }
    }
}

/// The tasks of a runner, by when they end.
struct RunnerTasks {
    grace: Duration,
    /// Cancelled when nothing is claimed any more.
    stop: CancellationToken,
    /// Cancelled when the grace period is over.
    cut_off: CancellationToken,
    /// Cancelled when no job is held any more.
    drained: CancellationToken,
    feeds: Vec<JobFeed>,
    acks: Acks,
    /// The claimer, the listener, the timers.
    until_stop: JoinSet<()>,
    /// One apalis worker a kind, until its last job has ended.
    workers: JoinSet<()>,
    /// The task that writes outcomes. It ends after the last one.
    writer: JoinHandle<()>,
    /// The renewals, the leases, the worker registry.
    until_drained: JoinSet<()>,
}

impl RunnerTasks {
    fn start(runner: Runner, stop: CancellationToken) -> Self {
        let Runner {
            pool,
            settings,
            kinds,
            schedules,
            room,
            watchdog,
        } = runner;
        let outcomes_pool = connections::outcomes(&pool);
        let listener_pool = connections::listener(&pool);
        let pool = connections::control(&pool);
        let (cut_off, drained) = (CancellationToken::new(), CancellationToken::new());
        let (arrivals, timer_set) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (connected, listening) = watch::channel(false);
        let (grace, leases) = (settings.grace, Leases::new(settings.lease));
        let (acks, writer) = Acks::start(WriteAcks {
            pool: outcomes_pool,
            leases: leases.clone(),
            timer_set: timer_set.clone(),
            room: room.clone(),
            heartbeat: watchdog.heartbeat("outcomes"),
        });

        start_metrics(&kinds);

        let mut until_drained = JoinSet::new();
        let heartbeat = watchdog.heartbeat("renewals");
        until_drained.spawn(
            leases
                .clone()
                .renew(pool.clone(), drained.clone(), heartbeat),
        );
        let heartbeat = watchdog.heartbeat("leases");
        until_drained.spawn(leases.clone().expire(drained.clone(), heartbeat));
        let registry = WorkerRegistry {
            pool: pool.clone(),
            worker: settings.worker.clone(),
            kinds: kinds.clone(),
        };
        until_drained.spawn(registry.run(drained.clone()));

        let worker: Arc<str> = settings.worker.as_str().into();
        let (mut workers, mut sources) = (JoinSet::new(), Vec::new());
        for kind in kinds {
            let feed = JobFeed::default();
            let executor = Executor {
                kind: kind.clone(),
                leases: leases.clone(),
                cut_off: cut_off.clone(),
                link_trace: settings.link_trace,
            };
            workers.spawn(run_worker(
                feed.clone(),
                acks.clone(),
                executor,
                worker.clone(),
                stop.clone(),
            ));
            sources.push(ClaimSource {
                kind,
                feed,
                cursor: ScanCursor::new(),
            });
        }
        let feeds = sources.iter().map(|source| source.feed.clone()).collect();

        let mut until_stop = JoinSet::new();
        until_stop.spawn(listen(
            listener_pool,
            arrivals.clone(),
            connected,
            stop.clone(),
        ));
        let timers = Timers {
            pool: pool.clone(),
            schedules,
            arrivals: arrivals.clone(),
            timer_set,
        };
        until_stop.spawn(timers.run(stop.clone(), watchdog.heartbeat("timers")));
        let claimer = Claimer {
            pool,
            settings,
            sources,
            leases,
            acks: acks.clone(),
            room,
            arrivals,
            listening,
            limit: StatementLimit::default(),
        };
        until_stop.spawn(claimer.run(stop.clone(), watchdog.heartbeat("claims")));
        Self {
            grace,
            stop,
            cut_off,
            drained,
            feeds,
            acks,
            until_stop,
            workers,
            writer,
            until_drained,
        }
    }

    /// Waits for the stop. True if a task ended before.
    async fn until_stop(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            Some(_) = self.until_stop.join_next() => true,
            Some(_) = self.until_drained.join_next() => true,
            Some(_) = self.workers.join_next() => true,
            _ = &mut self.writer => true,
        }
    }

    async fn drain(mut self) {
        tracing::info!(
            grace_s = self.grace.as_secs(),
            "stopping: waiting for the running jobs"
        );
        let draining = async {
            ended(&mut self.until_stop).await;
            for job in self.feeds.iter().flat_map(JobFeed::take_all) {
                self.acks.release(&job);
            }
            ended(&mut self.workers).await;
        };
        let patience = async {
            tokio::time::sleep(self.grace).await;
            tracing::warn!("grace period over: the jobs still running are given back");
            self.cut_off.cancel();
            tokio::time::sleep(LAST_WRITES).await;
        };
        tokio::select! {
            () = draining => {}
            () = patience => {
                tracing::error!("some jobs cannot be cancelled: another process will run them again");
            }
        }
        self.workers.abort_all();
        drop((self.acks, self.feeds));
        let patience = self.grace.max(LAST_WRITES);
        if !self.writer.is_finished() && timeout(patience, &mut self.writer).await.is_err() {
            tracing::error!("the database does not respond: some outcomes could not be written");
            self.writer.abort();
        }
        self.drained.cancel();
        if timeout(LAST_REGISTRY_WRITE, ended(&mut self.until_drained))
            .await
            .is_err()
        {
            self.until_drained.abort_all();
        }
    }
}

/// A task of the runner ended before the stop. Only a bug can cause that.
#[derive(Debug, thiserror::Error)]
#[error("a task of the job runner ended; the log says which. This is a bug, please report it")]
pub struct RunnerDied;

fn start_metrics(kinds: &[Arc<JobKind>]) {
    let names: Vec<&'static str> = kinds.iter().map(|kind| kind.name).collect();
    metrics::start(&names, kinds.iter().map(|kind| kind.concurrency).sum());
}

async fn ended(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}
