//! The only code that knows apalis: a backend that hands claimed jobs to one apalis worker a kind.
//!
//! apalis ends a worker whose backend returns an error, and drains acknowledgements only while the
//! worker is idle. So no database call is made here: [`crate::claim`] fills a [`JobFeed`],
//! `fetch_next` is a cancel-safe long poll on it, and the handler submits outcomes to
//! [`crate::ack`] itself.

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
    queue::Queue,
};
use tokio_util::sync::CancellationToken;
use tower::{layer::util::Identity, limit::ConcurrencyLimitLayer};

use crate::{ack::Acks, claimed::ClaimedJob, execute::Executor, feed::JobFeed};

/// apalis's heartbeat has nothing to do here: [`crate::lease`] renews leases.
const HEARTBEAT: Duration = Duration::from_mins(1);

/// The claimed jobs of one kind, as apalis's [`Persistence`].
#[derive(Clone)]
struct ClaimedJobs {
    feed: JobFeed,
    acks: Acks,
    queue: Queue,
    worker: Arc<str>,
}

impl Persistence for ClaimedJobs {
    type Compact = ClaimedJob;
    type Response = ();
    type Error = Infallible;

    async fn register(&mut self, _: &WorkerContext) -> Result<(), Infallible> {
        Ok(())
    }

    async fn heartbeat(&mut self, _: &WorkerContext) -> Result<(), Infallible> {
        Ok(())
    }

    async fn fetch_next(&mut self, _: &WorkerContext) -> Result<Vec<Task<ClaimedJob>>, Infallible> {
        // One at a time: a task that was handed over waits inside apalis, out of reach of a stop.
        let job = self.feed.next().await;
        Ok(vec![to_task(job, &self.queue, &self.worker)])
    }

    async fn reenqueue_abandoned(
        &mut self,
        tasks: Vec<Task<ClaimedJob>>,
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

    async fn push_tasks(&mut self, tasks: Vec<Task<ClaimedJob>>) -> Result<(), Infallible> {
        // apalis enqueues only into a backend that is a sink, which ours is not.
        debug_assert!(tasks.is_empty(), "apalis enqueues nothing here");
        if !tasks.is_empty() {
            tracing::error!(
                tasks = tasks.len(),
                "apalis was asked to enqueue: jobs are enqueued by `enqueue` alone"
            );
        }
        Ok(())
    }
}

/// The job as apalis's task. All fields that apalis has for a task are filled, so that its layers
/// can use them.
fn to_task(job: ClaimedJob, queue: &Queue, worker: &str) -> Task<ClaimedJob> {
    let seconds = |time: chrono::DateTime<chrono::Utc>| u64::try_from(time.timestamp()).ok();
    let lock_at = seconds(job.claimed_at);
    let mut task = TaskBuilder::new(())
        .task_id(TaskId::from_int(job.fence.job.unsigned_abs()))
        .queue(queue.clone())
        .attempt(usize::from(job.attempt.saturating_sub(1))) // apalis adds 1 when the attempt starts
        .max_attempts(usize::from(job.max_attempts))
        .priority(apalis_priority(job.priority))
        .lock_at(lock_at)
        .lock_by(Some(worker.to_owned()));
    if let Some(run_at) = job.ready_since.and_then(seconds) {
        task = task.run_at_timestamp(run_at);
    }
    if let Some(key) = &job.unique_key {
        task = task.idempotency_key(key);
    }
    task.map_args(|()| job).build()
}

/// apalis's priorities start at 0, and the highest goes first. Ours are steps around 0, and the
/// lowest goes first.
fn apalis_priority(priority: i16) -> usize {
    const LOW: i16 = crate::job::Priority::LOW.0;
    usize::try_from(i32::from(LOW) - i32::from(priority)).unwrap_or(0)
}

/// [`ClaimedJobs`] as an apalis backend.
struct ClaimedJobsBackend(Persisted<ClaimedJobs>);

impl Backend for ClaimedJobsBackend {
    type Task = Task<ClaimedJob>;
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
    ) -> Poll<Option<Result<Task<ClaimedJob>, Infallible>>> {
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

impl BackendConfig for ClaimedJobsBackend {
    type Args = ClaimedJob;
    type Id = u64;
    type Kind = Ephemeral; // the executor decodes: undecodable arguments must not end the worker
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}

/// Runs the worker of one kind until `stop`, and then until its running jobs have ended. `worker`
/// is the process's name.
pub(crate) async fn run_worker(
    feed: JobFeed,
    acks: Acks,
    executor: Executor,
    worker: Arc<str>,
    stop: CancellationToken,
) {
    let kind = executor.kind.clone();
    let jobs = ClaimedJobs {
        feed,
        acks: acks.clone(),
        queue: Queue::from(kind.name),
        worker,
    };
    let worker = WorkerBuilder::new(kind.name)
        .backend(ClaimedJobsBackend(Persisted::new(jobs)))
        .layer(ConcurrencyLimitLayer::new(kind.concurrency))
        .build(move |job: ClaimedJob| executor.clone().execute(job, acks.clone()));
    let stopped = async move {
        stop.cancelled().await;
        Ok::<(), WorkerError>(())
    };
    if let Err(error) = worker.run_until(stopped).await {
        tracing::error!(%error, job.kind = kind.name, "a worker ended with an error");
    }
}

#[cfg(test)]
mod tests;
