//! Runs one claimed job under its timeout and its lease, and turns the result into an outcome.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    ack::Acks,
    attempt::Attempt,
    claimed::ClaimedJob,
    job::JobError,
    kind::{JobKind, RunResult},
    lease::{Lease, Leases},
    metrics::{self, AttemptOutcome, PermitInUse},
    outcome::{DeadLetterReason, Outcome, storable},
    pool::{HeldConnections, stalled},
    settings::LinkTrace,
};

/// How long a job waits that had no response from the database. No job is at fault, so none loses
/// an attempt.
const DATABASE_SILENT: Duration = Duration::from_secs(2);

/// How an attempt ended.
pub(crate) enum AttemptEnd {
    /// The job has written its own outcome, together with its effect.
    Written(Outcome),
    /// This outcome is to be acknowledged.
    Acknowledge(Outcome),
    /// The lease is lost. If the database failed to renew it, the job is given back, unless another
    /// worker has it already. Otherwise nothing may be written.
    LeaseLost { to_database: bool },
}

/// Runs claimed jobs of one kind.
#[derive(Clone)]
pub(crate) struct Executor {
    pub(crate) kind: Arc<JobKind>,
    pub(crate) leases: Leases,
    /// Cancelled when the grace period of a stop is over.
    pub(crate) cut_off: CancellationToken,
    pub(crate) link_trace: Option<LinkTrace>,
}

impl Executor {
    /// Makes one attempt and submits its outcome.
    pub(crate) async fn execute(self, mut job: ClaimedJob, acks: Acks) {
        match self.run(&mut job).await {
            AttemptEnd::Acknowledge(outcome) => acks.record(&job, outcome),
            AttemptEnd::LeaseLost { to_database: true } => {
                self.leases.remove(job.fence); // nothing may renew it now
                acks.release(&job);
            }
            AttemptEnd::Written(_) | AttemptEnd::LeaseLost { .. } => self.leases.remove(job.fence),
        }
    }

    /// Makes one attempt, logs it and counts it. The caller writes the outcome. Takes the job's
    /// arguments.
    pub(crate) async fn run(&self, job: &mut ClaimedJob) -> AttemptEnd {
        let waited = job.ready_at.map(|ready_at| ready_at.elapsed());
        let span = tracing::info_span!(
            "job.run",
            job.id = job.fence.job,
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
            let permit = PermitInUse::take();
            let started = Instant::now();
            if let Some(waited) = waited {
                metrics::waited(self.kind.name, waited);
            }
            let end = self.attempt(job, trace).await;
            let took = started.elapsed();
            drop(permit);
            self.kind.measure(took);
            self.kind.free_permit();
            report(&self.kind, &end, took);
            end
        }
        .instrument(span)
        .await
    }

    async fn attempt(&self, job: &mut ClaimedJob, trace: Option<String>) -> AttemptEnd {
        let Some(lease) = self.leases.get(job.fence) else {
            return AttemptEnd::LeaseLost { to_database: false };
        };
        if lease.lost.is_cancelled() {
            return lease_lost(&lease); // while the job waited in this process
        }
        if self.cut_off.is_cancelled() {
            return AttemptEnd::Acknowledge(Outcome::release());
        }
        if job.attempt > job.max_attempts {
            // Every attempt ended with the death of its process, so none was acknowledged. This
            // claim does not run it.
            let error = format!(
                "{} attempts ended with the death of their worker",
                job.max_attempts
            );
            return AttemptEnd::Acknowledge(Outcome::DeadLetter {
                reason: DeadLetterReason::AttemptsExhausted,
                error,
            });
        }
        let attempt = Arc::new(Attempt {
            fence: job.fence,
            number: job.attempt,
            max: job.max_attempts,
            trace,
            completed: lease.completed.clone(),
        });
        let held = HeldConnections::default();
        let running = self.kind.run(std::mem::take(&mut job.args), attempt);
        let running = held.clone().count(running);
        // A task of its own: a panic, of the decoder too, ends only that task, and all cores share
        // the work.
        let mut task = tokio::spawn(running.in_current_span());
        let result = tokio::select! {
            result = &mut task => result,
            () = lease.lost.cancelled() => {
                cancel(task).await;
                return lease_lost(&lease);
            }
            () = self.cut_off.cancelled() => {
                cancel(task).await;
                return AttemptEnd::Acknowledge(Outcome::release());
            }
            () = stalled(held) => {
                cancel(task).await;
                tracing::warn!("the database did not respond: the job waits for it");
                return AttemptEnd::Acknowledge(Outcome::Snooze { delay: DATABASE_SILENT });
            }
            () = tokio::time::sleep(self.kind.timeout) => {
                cancel(task).await;
                let error = format!("timed out after {:?}", self.kind.timeout);
                return AttemptEnd::Acknowledge(self.kind.after_failure(job, &error, None));
            }
        };
        let result = match result {
            Ok(Ok(Ok(()))) if lease.completed.load(Ordering::Acquire) => {
                return AttemptEnd::Written(Outcome::Complete);
            }
            Ok(Ok(Err(JobError::Discard(error)))) if lease.completed.load(Ordering::Acquire) => {
                return AttemptEnd::Written(Outcome::discarded(&format!("{error:#}")));
            }
            Ok(result) => result,
            // The text of a panic may quote personal data, so it is not stored.
            Err(_) => {
                return AttemptEnd::Acknowledge(self.kind.after_failure(job, "panicked", None));
            }
        };
        self.end_of(job, result)
    }

    /// The end of an attempt that returned without having completed the job itself.
    fn end_of(&self, job: &ClaimedJob, result: RunResult) -> AttemptEnd {
        AttemptEnd::Acknowledge(match result {
            Ok(Ok(())) => Outcome::Complete,
            Ok(Err(JobError::Retry { source, after })) => {
                self.kind.after_failure(job, &format!("{source:#}"), after)
            }
            Ok(Err(JobError::LeaseLost)) => return AttemptEnd::LeaseLost { to_database: false },
            Ok(Err(JobError::Snooze(delay))) => Outcome::Snooze { delay },
            Ok(Err(JobError::Discard(error))) => Outcome::discarded(&format!("{error:#}")),
            Err(error) => Outcome::DeadLetter {
                reason: DeadLetterReason::Undecodable,
                error: storable(&format!("the arguments cannot be read: {error}")),
            },
        })
    }
}

fn lease_lost(lease: &Lease) -> AttemptEnd {
    let to_database = lease.lost_to_database.load(Ordering::Acquire);
    AttemptEnd::LeaseLost { to_database }
}

/// Cancels a job's task and waits until it has ended. Only then may the outcome be written.
async fn cancel(task: JoinHandle<RunResult>) {
    task.abort();
    if task.await.is_ok() {
        tracing::debug!("the job returned while it was being cancelled");
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Logs an attempt in one line and counts it.
fn report(kind: &JobKind, end: &AttemptEnd, took: Duration) {
    let duration_ms = milliseconds(took);
    let outcome = match end {
        AttemptEnd::Written(outcome) | AttemptEnd::Acknowledge(outcome) => {
            report_outcome(kind, outcome, duration_ms)
        }
        AttemptEnd::LeaseLost { .. } => {
            let outcome = "lease_lost";
            tracing::warn!(duration_ms, outcome, "job cancelled: its lease was lost");
            AttemptOutcome::LeaseLost
        }
    };
    // After the log line, which has the field already.
    tracing::Span::current().record("outcome", outcome.as_str());
    metrics::attempt(kind.name, outcome, took);
}

fn report_outcome(kind: &JobKind, outcome: &Outcome, duration_ms: u64) -> AttemptOutcome {
    match outcome {
        Outcome::Complete => {
            kind.completed.fetch_add(1, Ordering::Relaxed);
            tracing::info!(duration_ms, outcome = "completed", "job completed");
            AttemptOutcome::Completed
        }
        Outcome::Retry { delay, error } => {
            kind.failed.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                duration_ms,
                outcome = "retried",
                error,
                delay_ms = delay.as_millis(),
                "job failed, will retry"
            );
            AttemptOutcome::Retried
        }
        Outcome::Snooze { delay } => {
            let delay_ms = delay.as_millis();
            tracing::info!(duration_ms, outcome = "snoozed", delay_ms, "job snoozed");
            AttemptOutcome::Snoozed
        }
        Outcome::DeadLetter { reason, error } => {
            kind.failed.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                duration_ms,
                outcome = "dead_letter",
                error,
                reason = reason.as_str(),
                "job is a dead letter"
            );
            AttemptOutcome::DeadLetter
        }
    }
}
