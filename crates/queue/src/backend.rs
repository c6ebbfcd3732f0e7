//! The only code that knows apalis: a backend that hands claimed jobs to one apalis worker a kind.
//!
//! apalis takes a backend's error for the worker's death, and drains acknowledgements only while it is idle. So no
//! database call is made from here: [`crate::claim`] fills a channel, `fetch_next` is a cancel-safe long poll on it,
//! and outcomes go to [`crate::ack`] from inside the handler.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use apalis::prelude::{Task, TaskBuilder, TaskId, WorkerBuilder, WorkerContext, WorkerError};
use apalis_core::backend::{
    Backend, BackendConfig,
    finalize::Ephemeral,
    persistence::{Persisted, Persistence, TaskEvent},
};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use tower::{layer::util::Identity, limit::ConcurrencyLimitLayer};

use crate::{ack::Acks, claim::Claimed, execute::Executor};

/// apalis's heartbeat has nothing to do here: leases are renewed by [`crate::lease`].
const HEARTBEAT: Duration = Duration::from_mins(1);

/// The most jobs handed to apalis at once.
const BATCH: usize = 100;

/// What this process has claimed of one kind, as apalis's [`Persistence`].
#[derive(Clone)]
pub(crate) struct Feed {
    claimed: Arc<Mutex<mpsc::UnboundedReceiver<Claimed>>>,
    acks: Acks,
}

impl Feed {
    pub(crate) fn new(claimed: mpsc::UnboundedReceiver<Claimed>, acks: Acks) -> Self {
        Self {
            claimed: Arc::new(Mutex::new(claimed)),
            acks,
        }
    }

    /// Gives back what the worker never took. Call it when worker and claimer have ended.
    pub(crate) async fn release_rest(self) {
        let mut claimed = self.claimed.lock().await;
        while let Ok(job) = claimed.try_recv() {
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
        let mut jobs = Vec::new();
        if self.claimed.lock().await.recv_many(&mut jobs, BATCH).await == 0 {
            // The claimer has ended, so we are stopping. An empty answer would park the worker on a waker that
            // nobody wakes; pending for ever is what the shutdown expects.
            std::future::pending::<()>().await;
        }
        Ok(jobs.into_iter().map(to_task).collect())
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
pub(crate) async fn run_worker(
    feed: Feed,
    executor: Executor,
    stop: CancellationToken,
) -> Result<(), WorkerError> {
    let slots = executor.kind.concurrency;
    let worker = WorkerBuilder::new(executor.kind.name)
        .backend(FeedBackend(Persisted::new(feed)))
        .layer(ConcurrencyLimitLayer::new(slots))
        .build(move |job: Claimed| executor.clone().execute(job));
    worker
        .run_until(async move {
            stop.cancelled().await;
            Ok::<(), WorkerError>(())
        })
        .await
}
