//! The only code that knows apalis: a backend that hands claimed jobs to one apalis worker a kind.
//!
//! apalis takes a backend's error for the worker's death, and drains acknowledgements only while it is idle. So no
//! database call is made from here: [`crate::claim`] fills a list, `fetch_next` is a cancel-safe long poll on it,
//! and outcomes go to [`crate::ack`] from inside the handler.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use apalis::prelude::{Task, TaskBuilder, TaskId, WorkerBuilder, WorkerContext, WorkerError};
use apalis_core::backend::{
    Backend, BackendConfig,
    finalize::Ephemeral,
    persistence::{Persisted, Persistence, TaskEvent},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tower::{layer::util::Identity, limit::ConcurrencyLimitLayer};

use crate::{ack::Acks, claim::Claimed, execute::Executor};

/// apalis's heartbeat has nothing to do here: leases are renewed by [`crate::lease`].
const HEARTBEAT: Duration = Duration::from_mins(1);

/// What this process has claimed of one kind and not yet started, in the order of the queue, as apalis's
/// [`Persistence`]. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Feed {
    claimed: Arc<Mutex<BinaryHeap<Reverse<Claimed>>>>,
    arrived: Arc<Notify>,
    acks: Acks,
}

impl Feed {
    pub(crate) fn new(acks: Acks) -> Self {
        Self {
            claimed: Arc::default(),
            arrived: Arc::default(),
            acks,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BinaryHeap<Reverse<Claimed>>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a job to the worker.
    pub(crate) fn push(&self, job: Claimed) {
        self.lock().push(Reverse(job));
        self.arrived.notify_one();
    }

    /// Gives back what the worker has not taken. Call it when the claimer has ended.
    pub(crate) fn release_all(&self) {
        for Reverse(job) in self.lock().drain() {
            self.acks.release(&job);
        }
    }
}

impl Persistence for Feed {
    type Compact = Claimed;
    type Response = ();
    type Error = Infallible;

    async fn register(&mut self, _: &WorkerContext) -> Result<(), Infallible> {
        Ok(())
    }

    async fn heartbeat(&mut self, _: &WorkerContext) -> Result<(), Infallible> {
        Ok(())
    }

    async fn fetch_next(&mut self, _: &WorkerContext) -> Result<Vec<Task<Claimed>>, Infallible> {
        loop {
            let arrived = self.arrived.notified();
            // One at a time: what is handed over waits inside apalis, out of reach of a stop.
            if let Some(Reverse(job)) = self.lock().pop() {
                return Ok(vec![to_task(job)]);
            }
            arrived.await;
        }
    }

    async fn reenqueue_abandoned(
        &mut self,
        tasks: Vec<Task<Claimed>>,
        _: &WorkerContext,
    ) -> Result<u64, Infallible> {
        for task in &tasks {
            self.acks.release(&task.args);
        }
        Ok(tasks.len() as u64)
    }

    async fn handle_events(
        &mut self,
        _: Vec<TaskEvent<()>>,
        _: &WorkerContext,
    ) -> Result<(), Infallible> {
        Ok(())
    }

    async fn push_tasks(&mut self, tasks: Vec<Task<Claimed>>) -> Result<(), Infallible> {
        // apalis's own way of enqueueing is not reachable: our backend is no sink.
        drop(tasks);
        Ok(())
    }
}

fn to_task(job: Claimed) -> Task<Claimed> {
    let (id, attempt, max) = (job.id, job.attempt, job.max_attempts);
    TaskBuilder::new(job)
        .task_id(TaskId::from_int(id.unsigned_abs()))
        .attempt(usize::from(attempt.saturating_sub(1)))
        .max_attempts(usize::from(max))
        .build()
}

/// [`Feed`] as an apalis backend.
struct FeedBackend(Persisted<Feed>);

impl Backend for FeedBackend {
    type Task = Task<Claimed>;
    type Error = Infallible;

    fn poll_ready(
        &mut self,
        cx: &mut Context<'_>,
        w: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx, w, HEARTBEAT)
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Option<Result<Task<Claimed>, Infallible>>> {
        self.0.poll_next(cx, worker)
    }

    fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        w: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        self.0.poll_close(cx, w)
    }
}

impl BackendConfig for FeedBackend {
    type Args = Claimed;
    type Id = u64;
    type Kind = Ephemeral; // decoding is the executor's: an undecodable job must not end the worker
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}

/// Runs the worker of one kind until `stop`, and then until its running jobs have ended.
pub(crate) async fn run_worker(feed: Feed, executor: Executor, stop: CancellationToken) {
    let (kind, acks) = (executor.kind.clone(), feed.acks.clone());
    let worker = WorkerBuilder::new(kind.name)
        .backend(FeedBackend(Persisted::new(feed)))
        .layer(ConcurrencyLimitLayer::new(kind.concurrency))
        .build(move |job: Claimed| executor.clone().execute(job, acks.clone()));
    let stopped = async move {
        stop.cancelled().await;
        Ok::<(), WorkerError>(())
    };
    if let Err(error) = worker.run_until(stopped).await {
        tracing::error!(%error, job.kind = kind.name, "a worker ended with an error");
    }
}
