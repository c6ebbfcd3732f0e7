//! The metrics of workers: every metric of this crate is named here and nowhere else. Labels are
//! kinds of jobs, which the code names, and outcomes. [`crate::admin::stats`] reads how many jobs
//! the queue holds.

use std::time::Duration;

use ::metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

const ATTEMPTS: &str = "pigeonhole_queue_attempts_total";
const RUN: &str = "pigeonhole_queue_run_seconds";
const WAIT: &str = "pigeonhole_queue_wait_seconds";
const LEASE_LOSSES: &str = "pigeonhole_queue_lease_losses_total";
const CLAIM: &str = "pigeonhole_queue_claim_seconds";
const PERMITS: &str = "pigeonhole_queue_permits";
const PERMITS_IN_USE: &str = "pigeonhole_queue_permits_in_use";
const DEAD_LETTERS_REMOVED: &str = "pigeonhole_queue_dead_letters_removed_total";

/// Describes each metric.
pub fn describe() {
    describe_counter!(
        ATTEMPTS,
        Unit::Count,
        "Attempts at jobs, by kind and outcome: completed, retried, snoozed, dead_letter, lease_lost"
    );
    describe_histogram!(
        RUN,
        Unit::Seconds,
        "How long attempts took, whatever their outcome, by kind"
    );
    describe_histogram!(
        WAIT,
        Unit::Seconds,
        "How long ready jobs waited until they ran, by kind"
    );
    describe_counter!(
        LEASE_LOSSES,
        Unit::Count,
        "Attempts that were cancelled because their lease was lost, by kind"
    );
    describe_histogram!(
        CLAIM,
        Unit::Seconds,
        "How long a claim took in the database, whether it got no job, one or many"
    );
    describe_gauge!(
        PERMITS,
        Unit::Count,
        "The most jobs that this process runs at once, of all kinds"
    );
    describe_gauge!(
        PERMITS_IN_USE,
        Unit::Count,
        "Jobs that this process runs now, of all kinds"
    );
    describe_counter!(
        DEAD_LETTERS_REMOVED,
        Unit::Count,
        "Dead letters deleted because they were older than their retention"
    );
}

/// The outcome of an attempt, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttemptOutcome {
    Completed,
    Retried,
    Snoozed,
    DeadLetter,
    LeaseLost,
}

impl AttemptOutcome {
    const ALL: [Self; 5] = [
        Self::Completed,
        Self::Retried,
        Self::Snoozed,
        Self::DeadLetter,
        Self::LeaseLost,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Retried => "retried",
            Self::Snoozed => "snoozed",
            Self::DeadLetter => "dead_letter",
            Self::LeaseLost => "lease_lost",
        }
    }
}

/// Sets the metrics of a worker with these kinds to zero, so that the first increase is visible.
pub(crate) fn start(kinds: &[&'static str], concurrency: usize) {
    for kind in kinds {
        for outcome in AttemptOutcome::ALL {
            counter!(ATTEMPTS, "kind" => *kind, "outcome" => outcome.as_str()).increment(0);
        }
        counter!(LEASE_LOSSES, "kind" => *kind).increment(0);
        for duration in [RUN, WAIT] {
            drop(histogram!(duration, "kind" => *kind));
        }
    }
    drop(histogram!(CLAIM));
    counter!(DEAD_LETTERS_REMOVED).increment(0);
    gauge!(PERMITS).set(f64::from(u32::try_from(concurrency).unwrap_or(u32::MAX)));
    gauge!(PERMITS_IN_USE).increment(0.0);
}

/// Counts an attempt that has ended.
pub(crate) fn attempt(kind: &'static str, outcome: AttemptOutcome, took: Duration) {
    counter!(ATTEMPTS, "kind" => kind, "outcome" => outcome.as_str()).increment(1);
    histogram!(RUN, "kind" => kind).record(took);
    if outcome == AttemptOutcome::LeaseLost {
        counter!(LEASE_LOSSES, "kind" => kind).increment(1);
    }
}

/// Records how long a job was ready before it ran.
pub(crate) fn waited(kind: &'static str, waited: Duration) {
    histogram!(WAIT, "kind" => kind).record(waited);
}

/// Records how long a claim took.
pub(crate) fn claim(took: Duration) {
    histogram!(CLAIM).record(took);
}

/// Counts dead letters that were deleted.
pub(crate) fn dead_letters_removed(count: u64) {
    counter!(DEAD_LETTERS_REMOVED).increment(count);
}

/// A concurrency permit in use, until it is dropped.
#[derive(Debug)]
pub(crate) struct PermitInUse(());

impl PermitInUse {
    pub(crate) fn take() -> Self {
        gauge!(PERMITS_IN_USE).increment(1.0);
        Self(())
    }
}

impl Drop for PermitInUse {
    fn drop(&mut self) {
        gauge!(PERMITS_IN_USE).decrement(1.0);
    }
}
