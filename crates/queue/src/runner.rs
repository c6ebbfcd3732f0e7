//! One worker process: the kinds it runs, and its start, drain and stop.

use std::{sync::Arc, time::Duration};

use sqlx::{Executor as _, PgPool, postgres::PgPoolOptions};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Job, ScheduleError,
    ack::Acks,
    backend::{Feed, run_worker},
    claim::{Claimer, Source},
    execute::{Executor, Kind},
    lease::Leases,
    presence::Presence,
    scan::Floor,
    schedule::Schedules,
    timers::Timers,
    wake::listen,
};

/// How long a stop may wait for what is only for people to read.
const LAST_WORD: Duration = Duration::from_secs(1);

/// How long the last outcomes may take to be written, however short the grace period: without them every job that was
/// cut off would wait for its lease to run out, and be charged an attempt.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// How a worker process behaves.
#[derive(Debug, Clone)]
pub struct Settings {
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
}

impl Settings {
    /// Defaults for a process of this name: leases of 30 s, 20 s of grace; without work a look every 2 s,
    /// or every 250 ms while notifications do not reach us.
    pub fn new(worker: impl Into<String>) -> Self {
        Self {
            worker: worker.into(),
            lease: Duration::from_secs(30),
            poll: Duration::from_millis(250),
            slow_poll: Duration::from_secs(2),
            grace: Duration::from_secs(20),
        }
    }
}

/// Runs jobs of the registered kinds.
pub struct Runner {
    pool: PgPool,
    settings: Settings,
    kinds: Vec<Arc<Kind>>,
    schedules: Schedules,
    room: Arc<Notify>,
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
    /// A runner without kinds. It uses up to five connections of the pool, and two of its own; jobs use whatever their
    /// `Deps` bring.
    pub fn new(pool: PgPool, settings: Settings) -> Self {
        let schedules = Schedules::default();
        Self { pool, settings, kinds: Vec::new(), schedules, room: Arc::default() }
    }

    /// Adds a kind, of which at most `concurrency` jobs run here at once.
    #[must_use]
    pub fn register<J: Job>(mut self, deps: J::Deps, concurrency: usize) -> Self {
        self.kinds.push(Arc::new(Kind::new::<J>(
            deps,
            concurrency.max(1),
            self.room.clone(),
        )));
        self
    }

    /// Adds a job that the clock enqueues: `cron` has five fields, in UTC. The kind must be registered somewhere.
    pub fn schedule<J: Job>(mut self, name: &str, cron: &str, job: &J) -> Result<Self, ScheduleError> {
        self.schedules.add(name, cron, job)?;
        Ok(self)
    }

    /// Runs until `stop` is cancelled and everything is given back or written down.
    ///
    /// After `stop` no job is claimed; running ones get the grace period, then they are cancelled; what has not
    /// ended by itself is ready again at once, at no cost in attempts. The database being away delays everything and
    /// ends nothing, but at the stop it is waited for no longer than another grace period (or five seconds, if that is
    /// more): what could not be written then becomes ready when its lease runs out.
    pub async fn run(self, stop: CancellationToken) {
        let Self { pool, settings, kinds, schedules, room } = self;
        let leases = Leases::new(settings.lease);
        let drained = CancellationToken::new();
        let renewer = tokio::spawn(leases.clone().renew(pool.clone(), drained.clone()));
        let nudge = Arc::new(Notify::new());
        let (acks, writer) = Acks::start(ack_pool(&pool), leases.clone(), nudge.clone());
        let cut_off = CancellationToken::new();

        let arrivals = Arc::new(Notify::new());
        let (connected, listening) = watch::channel(false);
        let mut helpers = JoinSet::new();
        helpers.spawn(listen(pool.clone(), arrivals.clone(), connected, stop.clone()));
        let timers = Timers { pool: pool.clone(), schedules, arrivals: arrivals.clone(), nudge };
        helpers.spawn(timers.run(stop.clone()));
        let presence =
            Presence { pool: pool.clone(), worker: settings.worker.clone(), kinds: kinds.clone() };
        let presence = tokio::spawn(presence.run(drained.clone()));

        let mut workers = JoinSet::new();
        let mut feeds = Vec::new();
        let mut sources = Vec::new();
        for kind in kinds {
            let (jobs, receiver) = mpsc::unbounded_channel();
            let feed = Feed::new(receiver, acks.clone());
            let executor = Executor {
                kind: kind.clone(),
                leases: leases.clone(),
                acks: acks.clone(),
                cut_off: cut_off.clone(),
            };
            workers.spawn(run_worker(feed.clone(), executor, stop.clone()));
            feeds.push(feed);
            sources.push(Source { kind, jobs, floor: Floor::new() });
        }
        let grace = settings.grace;
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
        let claimer = tokio::spawn(claimer.run(stop.clone()));

        stop.cancelled().await;
        tracing::info!(grace_s = grace.as_secs(), "stopping: waiting for the running jobs");
        if timeout(grace, join_all(&mut workers)).await.is_err() {
            tracing::warn!("grace period over: the jobs still running are given back");
            cut_off.cancel();
            join_all(&mut workers).await;
        }
        note_panic("claimer", &claimer.await);
        for feed in feeds {
            feed.release_rest().await;
        }
        drop(acks);
        if let Ok(ended) = timeout(grace.max(LAST_WRITES), writer).await {
            note_panic("acknowledger", &ended);
        } else {
            tracing::error!("the database is away: some outcomes could not be written");
        }
        drained.cancel();
        note_panic("lease renewer", &renewer.await);
        while let Some(ended) = helpers.join_next().await {
            note_panic("listener or timers", &ended);
        }
        if let Ok(ended) = timeout(LAST_WORD, presence).await {
            note_panic("presence", &ended);
        }
    }
}

/// Connections whose commits do not wait for the disk. Outcomes may be lost in a crash of the database: their jobs run
/// again, as after any crash. Nothing else goes through here.
fn ack_pool(pool: &PgPool) -> PgPool {
    PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(pool.options().get_acquire_timeout())
        .test_before_acquire(false)
        .after_connect(|conn, _| {
            Box::pin(async move {
                conn.execute("set synchronous_commit = off").await?;
                Ok(())
            })
        })
        .connect_lazy_with(pool.connect_options().as_ref().clone())
}

async fn join_all<E: std::fmt::Display + 'static>(workers: &mut JoinSet<Result<(), E>>) {
    while let Some(ended) = workers.join_next().await {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "a worker ended with an error"),
            Err(error) => note_panic("worker", &Err(error)),
        }
    }
}

fn note_panic(what: &str, ended: &Result<(), tokio::task::JoinError>) {
    if ended.is_err() {
        tracing::error!(
            task = what,
            "ended by a panic; this is a bug, please report it"
        );
    }
}
