//! One worker process: the kinds it runs, and its start, drain and stop.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::{
    sync::{Notify, watch},
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Job, JobArgs, LinkTrace, ScheduleError, Watchdog,
    ack::Acks,
    backend::{Feed, run_worker},
    claim::{Claimer, Source},
    connections,
    execute::{Executor, Kind},
    lease::Leases,
    metrics,
    scan_cursor::ScanCursor,
    schedule::Schedules,
    timers::Timers,
    wake::listen,
    worker_registry::WorkerRegistry,
};

/// How long a stop may wait for what is only for people to read.
const LAST_WORD: Duration = Duration::from_secs(1);

/// How long the last outcomes may take to be written, however short the grace period: without them every job that was
/// cut off would wait for its lease to run out, and be charged an attempt.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// How a worker process behaves.
#[derive(Debug, Clone)]
pub struct RunnerSettings {
    /// The process's name in `queue.jobs.locked_by`, for people to read. Nothing depends on its being unique.
    pub worker: String,
    /// How long a claim is good for unless it is renewed; also how long a dead process's jobs wait. Renewed three
    /// times in its length.
    pub lease: Duration,
    /// How often to look for ready jobs when there were none and notifications do not reach us.
    pub poll: Duration,
    /// The same while they do.
    pub slow_poll: Duration,
    /// How long running jobs may go on after a stop was asked for.
    pub grace: Duration,
    /// How the span of an attempt joins the trace of its job, where spans are collected.
    pub link_trace: Option<LinkTrace>,
}

impl RunnerSettings {
    /// Defaults for a process of this name: leases of 30 s, 20 s of grace; without work a look every 2 s,
    /// or every 250 ms while notifications do not reach us.
    pub fn new(worker: impl Into<String>) -> Self {
        Self {
            worker: worker.into(),
            lease: Duration::from_secs(30),
            poll: Duration::from_millis(250),
            slow_poll: Duration::from_secs(2),
            grace: Duration::from_secs(20),
            link_trace: None,
        }
    }
}

/// Runs jobs of the registered kinds.
pub struct Runner {
    pool: PgPool,
    settings: RunnerSettings,
    kinds: Vec<Arc<Kind>>,
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
    /// A runner without kinds, on the database of this pool. It makes up to seven connections of its own, so that jobs
    /// that use up their pool do not cost each other their leases.
    pub fn new(pool: PgPool, settings: RunnerSettings) -> Self {
        let schedules = Schedules::default();
        Self {
            pool,
            settings,
            kinds: Vec::new(),
            schedules,
            room: Arc::default(),
            watchdog: Watchdog::default(),
        }
    }

    /// Its loops are to be heard here.
    #[must_use]
    pub fn with_watchdog(mut self, watchdog: &Watchdog) -> Self {
        self.watchdog = watchdog.clone();
        self
    }

    /// Adds a kind, of which at most `concurrency` jobs run here at once. Added again, the later one counts.
    #[must_use]
    pub fn register<J, D>(mut self, deps: D, concurrency: usize) -> Self
    where
        J: Job<D>,
        D: Send + Sync + 'static,
    {
        self.kinds.retain(|kind| kind.name != J::NAME);
        self.kinds.push(Arc::new(Kind::new::<J, D>(
            deps,
            concurrency.max(1),
            self.room.clone(),
        )));
        self
    }

    /// Adds a job that the clock enqueues: `cron` has five fields, in UTC. The kind must be registered somewhere.
    pub fn schedule<J: JobArgs>(
        mut self,
        name: &str,
        cron: &str,
        job: &J,
    ) -> Result<Self, ScheduleError> {
        self.schedules.add(name, cron, job)?;
        Ok(self)
    }

    /// Runs until `stop` is cancelled and everything is given back or written down.
    ///
    /// After `stop` no job is claimed; what waits in this process is given back at once; running jobs get the grace
    /// period, then they are cancelled and given back too, at no cost in attempts. The database being away delays
    /// everything and ends nothing, but at the stop it is waited for no longer than another grace period (or five
    /// seconds, if that is more): what could not be written then becomes ready when its lease runs out.
    ///
    /// # Errors
    /// If a part of the runner died of a bug: the rest was stopped in good order, and the process should end, to be
    /// started again.
    pub async fn run(self, stop: CancellationToken) -> Result<(), RunnerDied> {
        let mut running = Running::start(self, stop.child_token());
        let died = running.until_stop().await;
        running.stop.cancel();
        running.drain().await;
        if died { Err(RunnerDied) } else { Ok(()) }
    }
}

/// The tasks of a runner, by how long they live.
struct Running {
    grace: Duration,
    /// Nothing is claimed any more.
    stop: CancellationToken,
    /// The grace period is over.
    cut_off: CancellationToken,
    /// Nothing is held any more.
    drained: CancellationToken,
    feeds: Vec<Feed>,
    acks: Acks,
    /// Claimer, listener, timers.
    until_stop: JoinSet<()>,
    /// One apalis worker a kind, until its last job has ended.
    workers: JoinSet<()>,
    /// The writer of outcomes, until there can be no more.
    writer: JoinHandle<()>,
    /// Leases, presence.
    until_drained: JoinSet<()>,
}

impl Running {
    fn start(runner: Runner, stop: CancellationToken) -> Self {
        let Runner {
            pool,
            settings,
            kinds,
            schedules,
            room,
            watchdog,
        } = runner;
        let pool_of_outcomes = connections::outcomes(&pool);
        let pool = connections::control(&pool);
        let (cut_off, drained) = (CancellationToken::new(), CancellationToken::new());
        let (arrivals, nudge) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (connected, listening) = watch::channel(false);
        let grace = settings.grace;
        let leases = Leases::new(settings.lease);
        let (acks, writer) = Acks::start(
            pool_of_outcomes,
            leases.clone(),
            nudge.clone(),
            room.clone(),
            watchdog.heartbeat("outcomes"),
        );

        let names: Vec<&'static str> = kinds.iter().map(|kind| kind.name).collect();
        metrics::start(&names, kinds.iter().map(|kind| kind.concurrency).sum());

        let mut until_drained = JoinSet::new();
        let heartbeat = watchdog.heartbeat("renewals");
        until_drained.spawn(
            leases
                .clone()
                .renew(pool.clone(), drained.clone(), heartbeat),
        );
        let heartbeat = watchdog.heartbeat("leases");
        until_drained.spawn(leases.clone().expire(drained.clone(), heartbeat));
        let presence = WorkerRegistry {
            pool: pool.clone(),
            worker: settings.worker.clone(),
            kinds: kinds.clone(),
        };
        until_drained.spawn(presence.run(drained.clone()));

        let mut workers = JoinSet::new();
        let mut sources = Vec::new();
        for kind in kinds {
            let feed = Feed::new(acks.clone());
            let executor = Executor {
                kind: kind.clone(),
                leases: leases.clone(),
                cut_off: cut_off.clone(),
                link_trace: settings.link_trace,
            };
            workers.spawn(run_worker(feed.clone(), executor, stop.clone()));
            sources.push(Source {
                kind,
                feed,
                floor: ScanCursor::new(),
            });
        }
        let feeds = sources.iter().map(|source| source.feed.clone()).collect();

        let mut until_stop = JoinSet::new();
        until_stop.spawn(listen(
            pool.clone(),
            arrivals.clone(),
            connected,
            stop.clone(),
        ));
        let timers = Timers {
            pool: pool.clone(),
            schedules,
            arrivals: arrivals.clone(),
            nudge,
        };
        until_stop.spawn(timers.run(stop.clone(), watchdog.heartbeat("timers")));
        let acks_of_claimer = acks.clone();
        let claimer = Claimer {
            pool,
            settings,
            sources,
            leases,
            acks: acks_of_claimer,
            room,
            arrivals,
            listening,
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

    /// Waits for the stop; true if a part died before.
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
            self.feeds.iter().for_each(Feed::release_all);
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
                tracing::error!("some jobs do not let themselves be cancelled: they run again elsewhere");
            }
        }
        self.workers.abort_all();
        drop((self.acks, self.feeds));
        let patience = self.grace.max(LAST_WRITES);
        if !self.writer.is_finished() && timeout(patience, &mut self.writer).await.is_err() {
            tracing::error!("the database is away: some outcomes could not be written");
            self.writer.abort();
        }
        self.drained.cancel();
        if timeout(LAST_WORD, ended(&mut self.until_drained))
            .await
            .is_err()
        {
            self.until_drained.abort_all();
        }
    }
}

/// A part of the runner ended before the stop, which only a bug can do.
#[derive(Debug, thiserror::Error)]
#[error("a part of the job runner died; the log says where. This is a bug, please report it")]
pub struct RunnerDied;

async fn ended(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}
