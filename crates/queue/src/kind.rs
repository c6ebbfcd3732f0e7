//! A kind of job that this process runs: its code, its concurrency, and how many of its jobs to
//! claim.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use crate::{
    attempt::Attempt,
    backoff::Backoff,
    claimed::ClaimedJob,
    job::{Job, JobError},
    outcome::{DeadLetterReason, Outcome, storable},
};

/// The result of running a job, unless its arguments could not be decoded.
pub(crate) type RunResult = Result<Result<(), JobError>, serde_json::Error>;
type RunJob = dyn Fn(String, Arc<Attempt>) -> BoxFuture<'static, RunResult> + Send + Sync;

/// Workers prefetch at least this much work beyond their concurrency, so that permits do not stay
/// free while a claim is under way. A job that comes later and has priority waits no longer than
/// that.
const PREFETCH: Duration = Duration::from_millis(10);

/// Where claims take long, because the database is far away, workers prefetch the work of so many
/// claims: they claim again when half of it is left, which must last until the claim is there.
const PREFETCHED_CLAIMS: u32 = 4;

/// The most jobs that are prefetched, and the most in one claim.
const MAX_PREFETCH: usize = 500;

/// The most jobs that are claimed beyond the prefetch after a notification.
const OVERDRAFT: usize = 16;

/// A kind of job, its Rust type erased.
pub(crate) struct JobKind {
    pub(crate) name: &'static str,
    /// How many jobs of this kind run at once in this process.
    pub(crate) concurrency: usize,
    pub(crate) timeout: Duration,
    backoff: Backoff,
    run: Box<RunJob>,
    held: AtomicUsize,
    /// Moving average of an attempt's duration, in nanoseconds.
    average_ns: AtomicU64,
    /// Moving average of a claim's duration, in nanoseconds.
    claim_ns: AtomicU64,
    /// Attempts that completed and failed since the worker registry last read them.
    pub(crate) completed: AtomicU64,
    pub(crate) failed: AtomicU64,
    room: Arc<Notify>,
}

impl JobKind {
    /// `room` is notified when more jobs may be claimed.
    pub(crate) fn new<J, D>(deps: D, concurrency: usize, room: Arc<Notify>) -> Self
    where
        J: Job<D>,
        D: Send + Sync + 'static,
    {
        let deps = Arc::new(deps);
        let run = move |args: String, attempt: Arc<Attempt>| -> BoxFuture<'static, RunResult> {
            let deps = deps.clone();
            Box::pin(async move {
                let job: J = serde_json::from_str(&args)?;
                if let Some(subject) = job.subject() {
                    tracing::Span::current().record("job.subject", subject);
                }
                Ok(job.run(&*deps, &attempt).await)
            })
        };
        Self {
            name: J::NAME,
            concurrency,
            timeout: J::TIMEOUT,
            backoff: J::BACKOFF,
            run: Box::new(run),
            held: AtomicUsize::new(0),
            average_ns: AtomicU64::new(1_000_000_000), // no prefetch before an attempt was measured
            claim_ns: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            room,
        }
    }

    /// Decodes the arguments and runs the job.
    pub(crate) fn run(&self, args: String, attempt: Arc<Attempt>) -> BoxFuture<'static, RunResult> {
        (self.run)(args, attempt)
    }

    /// How many jobs of this kind this process holds.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    /// How many jobs of this kind to claim now: none, unless a permit is free or will be soon.
    /// After a notification a few in any case: the new job may have priority over all jobs that
    /// wait here.
    pub(crate) fn wanted(&self, notified: bool) -> usize {
        let average = u128::from(self.average_ns.load(Ordering::Relaxed).max(1));
        let claims =
            Duration::from_nanos(self.claim_ns.load(Ordering::Relaxed)) * PREFETCHED_CLAIMS;
        let prefetch = PREFETCH.max(claims).as_nanos() * self.concurrency as u128 / average;
        let prefetch = usize::try_from(prefetch)
            .unwrap_or(usize::MAX)
            .min(MAX_PREFETCH);
        let (held, capacity) = (self.held(), self.concurrency + prefetch);
        if held < self.concurrency || held <= capacity / 2 {
            capacity.saturating_sub(held).min(MAX_PREFETCH)
        } else if notified {
            // At most twice the prefetch. Where jobs take long, other processes run them sooner.
            (capacity + OVERDRAFT.min(prefetch)).saturating_sub(held)
        } else {
            0 // a claim of a few jobs costs as much as a claim of many: wait until half of them are done
        }
    }

    /// Counts a job that this process now holds: running, or waiting for a permit.
    pub(crate) fn take_permit(&self) {
        self.held.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts a job that this process no longer holds.
    pub(crate) fn free_permit(&self) {
        self.held.fetch_sub(1, Ordering::AcqRel);
        if self.wanted(false) > 0 {
            self.room.notify_one();
        }
    }

    /// Adds the duration of an attempt to the moving average.
    pub(crate) fn measure(&self, took: Duration) {
        add(&self.average_ns, took);
    }

    /// Adds the duration of a claim to the moving average.
    pub(crate) fn measure_claim(&self, took: Duration) {
        add(&self.claim_ns, took);
    }

    /// The outcome of a failed attempt.
    pub(crate) fn after_failure(
        &self,
        job: &ClaimedJob,
        error: &str,
        after: Option<Duration>,
    ) -> Outcome {
        let error = storable(error);
        if job.attempt >= job.max_attempts {
            return Outcome::DeadLetter {
                reason: DeadLetterReason::AttemptsExhausted,
                error,
            };
        }
        let delay = after.unwrap_or_else(|| self.backoff.delay(job.attempt));
        Outcome::Retry { delay, error }
    }
}

/// Adds a duration to a moving average, in nanoseconds.
fn add(average_ns: &AtomicU64, took: Duration) {
    let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX / 8);
    let average = average_ns.load(Ordering::Relaxed);
    average_ns.store(average / 8 * 7 + took / 8, Ordering::Relaxed);
}
