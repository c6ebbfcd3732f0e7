//! Running one claimed job: decode, run under a timeout and the lease, and turn what came of it into an outcome.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    Attempt, Backoff, Job, JobError, LinkTrace,
    ack::{Acks, DeadLetterReason, Outcome, storable},
    claim::Claimed,
    lease::Leases,
    metrics::{self, AttemptEnd, PermitInUse},
};

/// What came of running a job, unless its arguments could not be read.
type Ran = Result<Result<(), JobError>, serde_json::Error>;
type Start = dyn Fn(String, Arc<Attempt>) -> BoxFuture<'static, Ran> + Send + Sync;

/// How much work may wait claimed in this process, so that slots need not wait for the database. As short as that, it
/// keeps nobody waiting who comes later and is to go first.
const PREFETCH: Duration = Duration::from_millis(10);

/// The most jobs that wait claimed, and the most in one claim.
const MAX_PREFETCH: usize = 500;

/// The most that are claimed beyond that when a notification comes.
const OVERDRAFT: usize = 16;

/// A kind of job that this process runs, its Rust type forgotten.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) concurrency: usize,
    timeout: Duration,
    backoff: Backoff,
    start: Box<Start>,
    held: AtomicUsize,
    /// Moving average of an attempt's duration, in nanoseconds.
    average_ns: AtomicU64,
    pub(crate) completed: AtomicU64,
    pub(crate) failed: AtomicU64,
    room: Arc<Notify>,
}

impl Kind {
    pub(crate) fn new<J, D>(deps: D, concurrency: usize, room: Arc<Notify>) -> Self
    where
        J: Job<D>,
        D: Send + Sync + 'static,
    {
        let deps = Arc::new(deps);
        let start = move |args: String, attempt: Arc<Attempt>| -> BoxFuture<'static, Ran> {
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
            start: Box::new(start),
            held: AtomicUsize::new(0),
            average_ns: AtomicU64::new(1_000_000_000), // nothing is fetched ahead before anything was measured
            completed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            room,
        }
    }

    /// How many jobs of this kind this process holds.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    /// How many jobs of this kind to claim now: none unless a slot is free or will be soon. After a notification a few
    /// in any case: what has just come may be to go before all that waits here.
    pub(crate) fn wanted(&self, notified: bool) -> usize {
        let average = u128::from(self.average_ns.load(Ordering::Relaxed).max(1));
        let ahead = PREFETCH.as_nanos() * self.concurrency as u128 / average;
        let ahead = usize::try_from(ahead)
            .unwrap_or(usize::MAX)
            .min(MAX_PREFETCH);
        let (held, capacity) = (self.held(), self.concurrency + ahead);
        if held < self.concurrency || held <= capacity / 2 {
            capacity.saturating_sub(held).min(MAX_PREFETCH)
        } else if notified {
            // Never more than as much again as may wait: where jobs are long, other processes have them sooner.
            (capacity + OVERDRAFT.min(ahead)).saturating_sub(held)
        } else {
            0 // let some go first: a claim of a few costs as much as one of many
        }
    }

    pub(crate) fn take_slot(&self) {
        self.held.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn free_slot(&self) {
        self.held.fetch_sub(1, Ordering::AcqRel);
        if self.wanted(false) > 0 {
            self.room.notify_one();
        }
    }

    /// Counts an attempt that ran for this long.
    fn measure(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX / 8);
        let average = self.average_ns.load(Ordering::Relaxed);
        self.average_ns
            .store(average / 8 * 7 + took / 8, Ordering::Relaxed);
    }

    /// What a failed attempt leads to.
    fn after_failure(&self, job: &Claimed, error: &str, after: Option<Duration>) -> Outcome {
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

/// How an attempt went, before it is written down.
pub(crate) enum Ended {
    /// The job deleted its own row together with its effect.
    Completed,
    /// To be acknowledged.
    With(Outcome),
    /// The lease is gone: nothing may be written.
    LeaseLost,
}

/// Runs claimed jobs of one kind.
#[derive(Clone)]
pub(crate) struct Executor {
    pub(crate) kind: Arc<Kind>,
    pub(crate) leases: Leases,
    /// Cancelled when the grace period of a shutdown is over.
    pub(crate) cut_off: CancellationToken,
    pub(crate) link_trace: Option<LinkTrace>,
}

impl Executor {
    /// Makes one attempt and hands in its outcome.
    pub(crate) async fn execute(self, job: Claimed, acks: Acks) {
        match self.run(&job).await {
            Ended::With(outcome) => acks.record(&job, outcome),
            Ended::Completed | Ended::LeaseLost => self.leases.forget(job.id, job.claim),
        }
    }

    /// Makes one attempt, logged and counted. Its outcome is the caller's to write.
    pub(crate) async fn run(&self, job: &Claimed) -> Ended {
        let waited = job.ready_at.map(|ready_at| ready_at.elapsed());
        let span = tracing::info_span!(
            "job.run",
            job.id = job.id,
            job.kind = self.kind.name,
            job.attempt = job.attempt,
            job.wait_ms = waited.map(milliseconds),
            job.subject = tracing::field::Empty,
            outcome = tracing::field::Empty,
            trace = job.trace,
        );
        let trace = self
            .link_trace
            .and_then(|link_trace| link_trace(&span, job.trace.as_deref()));
        let trace = trace.or_else(|| job.trace.clone());
        async {
            let slot = PermitInUse::take();
            let started = tokio::time::Instant::now();
            if let Some(waited) = waited {
                metrics::waited(self.kind.name, waited);
            }
            let ended = self.attempt(job, trace).await;
            let took = started.elapsed();
            drop(slot);
            self.kind.measure(took);
            self.kind.free_slot();
            report(&self.kind, &ended, took);
            ended
        }
        .instrument(span)
        .await
    }

    async fn attempt(&self, job: &Claimed, trace: Option<String>) -> Ended {
        let Some(lease) = self.leases.get(job.id, job.claim) else {
            return Ended::LeaseLost;
        };
        if lease.lost.is_cancelled() {
            return Ended::LeaseLost; // while it waited here
        }
        if self.cut_off.is_cancelled() {
            return Ended::With(Outcome::Snooze {
                delay: Duration::ZERO,
            });
        }
        if job.attempt > job.max_attempts {
            // Every attempt died with its process, so none could be acknowledged; this claim does not run it again.
            let error = format!(
                "{} attempts ended with the death of their worker",
                job.max_attempts
            );
            return Ended::With(Outcome::DeadLetter {
                reason: DeadLetterReason::AttemptsExhausted,
                error,
            });
        }
        let attempt = Arc::new(Attempt {
            id: job.id,
            claim: job.claim,
            number: job.attempt,
            max: job.max_attempts,
            trace,
            completed: lease.completed.clone(),
        });
        let running = (self.kind.start)(job.args.clone(), attempt);
        // A task of its own: a panic, of the decoder too, ends that task only, and all cores share the work.
        let mut task = tokio::spawn(running.in_current_span());
        let result = tokio::select! {
            result = &mut task => result,
            () = lease.lost.cancelled() => {
                cancel(task).await;
                return Ended::LeaseLost;
            }
            () = self.cut_off.cancelled() => {
                cancel(task).await;
                return Ended::With(Outcome::Snooze { delay: Duration::ZERO });
            }
            () = tokio::time::sleep(self.kind.timeout) => {
                cancel(task).await;
                let error = format!("timed out after {:?}", self.kind.timeout);
                return Ended::With(self.kind.after_failure(job, &error, None));
            }
        };
        let completed = lease.completed.load(Ordering::Acquire);
        match result {
            Ok(Ok(Ok(()))) if completed => Ended::Completed,
            Ok(Ok(Ok(()))) => Ended::With(Outcome::Complete),
            Ok(Ok(Err(JobError::Retry { source, after }))) => {
                Ended::With(self.kind.after_failure(job, &format!("{source:#}"), after))
            }
            Ok(Ok(Err(JobError::Snooze(delay)))) => Ended::With(Outcome::Snooze { delay }),
            Ok(Ok(Err(JobError::Discard(error)))) => Ended::With(Outcome::DeadLetter {
                reason: DeadLetterReason::Discarded,
                error: storable(&format!("{error:#}")),
            }),
            Ok(Ok(Err(JobError::LeaseLost))) => Ended::LeaseLost,
            Ok(Err(error)) => Ended::With(Outcome::DeadLetter {
                reason: DeadLetterReason::Undecodable,
                error: storable(&format!("the arguments cannot be read: {error}")),
            }),
            // The panic's text may quote the data it choked on, so it is not kept.
            Err(_) => Ended::With(self.kind.after_failure(job, "panicked", None)),
        }
    }
}

/// Ends a job's task and waits until it has ended: only then may its outcome be written.
async fn cancel(task: JoinHandle<Ran>) {
    task.abort();
    if task.await.is_ok() {
        tracing::debug!("the job ended by itself while it was being cancelled");
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// One line and one count an attempt.
fn report(kind: &Kind, ended: &Ended, took: Duration) {
    let duration_ms = milliseconds(took);
    let end = match ended {
        Ended::Completed | Ended::With(Outcome::Complete) => {
            kind.completed.fetch_add(1, Ordering::Relaxed);
            tracing::info!(duration_ms, outcome = "completed", "job completed");
            AttemptEnd::Completed
        }
        Ended::With(Outcome::Retry { delay, error }) => {
            kind.failed.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                duration_ms,
                outcome = "retried",
                error,
                delay_ms = delay.as_millis(),
                "job failed, will retry"
            );
            AttemptEnd::Retried
        }
        Ended::With(Outcome::Snooze { delay }) => {
            let delay_ms = delay.as_millis();
            tracing::info!(duration_ms, outcome = "snoozed", delay_ms, "job snoozed");
            AttemptEnd::Snoozed
        }
        Ended::With(Outcome::DeadLetter { reason, error }) => {
            kind.failed.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                duration_ms,
                outcome = "dead_letter",
                error,
                reason = reason.as_str(),
                "job is a dead letter"
            );
            AttemptEnd::DeadLetter
        }
        Ended::LeaseLost => {
            let outcome = "lease_lost";
            tracing::warn!(duration_ms, outcome, "job cancelled: its lease was lost");
            AttemptEnd::LeaseLost
        }
    };
    // After its line, which has it already.
    tracing::Span::current().record("outcome", end.as_str());
    metrics::attempt(kind.name, end, took);
}
