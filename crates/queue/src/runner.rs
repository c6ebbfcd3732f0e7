//! One worker process: the kinds it runs, and its start, drain and stop.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Job,
    ack::Acks,
    backend::{Feed, run_worker},
    claim::Claimer,
    execute::{Executor, Kind},
    lease::Leases,
};

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
    /// How often to look for due jobs when there were none.
    pub poll: Duration,
    /// How long running jobs may go on after a stop was asked for.
    pub grace: Duration,
}

impl Settings {
    /// Defaults for a process of this name: leases of 30 s, a look every 250 ms, 20 s of grace.
    pub fn new(worker: impl Into<String>) -> Self {
        Self {
            worker: worker.into(),
            lease: Duration::from_secs(30),
            poll: Duration::from_millis(250),
            grace: Duration::from_secs(20),
        }
    }
}

/// Runs jobs of the registered kinds.
pub struct Runner {
    pool: PgPool,
    settings: Settings,
    kinds: Vec<Arc<Kind>>,
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
    /// A runner without kinds. The pool needs three connections for the runner itself; jobs use whatever their `Deps`
    /// bring.
    pub fn new(pool: PgPool, settings: Settings) -> Self {
        Self {
            pool,
            settings,
            kinds: Vec::new(),
            room: Arc::default(),
        }
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

    /// Runs until `stop` is cancelled and everything is given back or written down.
    ///
    /// After `stop` no job is claimed; running ones get the grace period, then they are cancelled; what has not
    /// ended by itself is due again at once, at no cost in attempts. The database being away delays everything and
    /// ends nothing, but at the stop it is waited for no longer than another grace period (or five seconds, if that is
    /// more): what could not be written then becomes due when its lease runs out.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            pool,
            settings,
            kinds,
            room,
        } = self;
        let leases = Leases::new(settings.lease);
        let drained = CancellationToken::new();
        let renewer = tokio::spawn(leases.clone().renew(pool.clone(), drained.clone()));
        let (acks, writer) = Acks::start(pool.clone(), leases.clone());
        let cut_off = CancellationToken::new();

        let mut workers = JoinSet::new();
        let mut feeds = Vec::new();
        let mut channels = Vec::new();
        for kind in kinds {
            let (sender, receiver) = mpsc::unbounded_channel();
            let feed = Feed::new(receiver, acks.clone());
            let executor = Executor {
                kind: kind.clone(),
                leases: leases.clone(),
                acks: acks.clone(),
                cut_off: cut_off.clone(),
            };
            workers.spawn(run_worker(feed.clone(), executor, stop.clone()));
            feeds.push(feed);
            channels.push((kind, sender));
        }
        let grace = settings.grace;
        let claimer = Claimer {
            pool,
            settings,
            kinds: channels,
            leases,
            acks: acks.clone(),
            room,
        };
        let claimer = tokio::spawn(claimer.run(stop.clone()));

        stop.cancelled().await;
        tracing::info!(
            grace_s = grace.as_secs(),
            "stopping: waiting for the running jobs"
        );
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
    }
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
