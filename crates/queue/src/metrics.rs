//! What workers measure: every metric of this crate, named here and nowhere else. Labels are kinds of jobs, which the
//! code names, and outcomes. What is in the queue is another matter: see [`crate::admin::stats`].

use std::time::Duration;

use ::metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

const ATTEMPTS: &str = "pigeonhole_queue_attempts_total";
const RUN: &str = "pigeonhole_queue_run_seconds";
const WAIT: &str = "pigeonhole_queue_wait_seconds";
const LEASE_LOSSES: &str = "pigeonhole_queue_lease_losses_total";
const CLAIM: &str = "pigeonhole_queue_claim_seconds";
const SLOTS: &str = "pigeonhole_queue_slots";
const SLOTS_IN_USE: &str = "pigeonhole_queue_slots_in_use";
const DEAD_LETTERS_REMOVED: &str = "pigeonhole_queue_dead_letters_removed_total";

/// Says what each means.
pub fn describe() {
    describe_counter!(
        ATTEMPTS,
        Unit::Count,
        "Attempts at jobs, by kind and outcome: completed, retried, snoozed, dead_letter, lease_lost"
    );
    describe_histogram!(
        RUN,
        Unit::Seconds,
        "How long attempts took, however they ended, by kind"
    );
    describe_histogram!(
        WAIT,
        Unit::Seconds,
        "How long jobs that were ready waited until they ran, by kind"
    );
    describe_counter!(
        LEASE_LOSSES,
        Unit::Count,
        "Attempts that were cancelled because their lease was lost, by kind"
    );
    describe_histogram!(
        CLAIM,
        Unit::Seconds,
        "How long the database took to answer a claim, of one job, many or none"
    );
    describe_gauge!(
        SLOTS,
        Unit::Count,
        "Jobs that this process runs at once, at most, of all kinds"
    );
    describe_gauge!(
        SLOTS_IN_USE,
        Unit::Count,
        "Jobs that this process runs now, of all kinds"
    );
    describe_counter!(
        DEAD_LETTERS_REMOVED,
        Unit::Count,
        "Dead letters deleted because they were older than their retention"
    );
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttemptEnd {
    Completed,
    Retried,
    Snoozed,
    DeadLetter,
    LeaseLost,
}

impl AttemptEnd {
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

/// Counts from zero what a worker with these kinds and slots counts, so that the first of each is seen to rise.
pub(crate) fn start(kinds: &[&'static str], slots: usize) {
    for kind in kinds {
        for end in AttemptEnd::ALL {
            counter!(ATTEMPTS, "kind" => *kind, "outcome" => end.as_str()).increment(0);
        }
        counter!(LEASE_LOSSES, "kind" => *kind).increment(0);
        for duration in [RUN, WAIT] {
            drop(histogram!(duration, "kind" => *kind));
        }
    }
    drop(histogram!(CLAIM));
    counter!(DEAD_LETTERS_REMOVED).increment(0);
    gauge!(SLOTS).set(f64::from(u32::try_from(slots).unwrap_or(u32::MAX)));
    gauge!(SLOTS_IN_USE).increment(0.0);
}

/// An attempt has ended.
pub(crate) fn attempt(kind: &'static str, end: AttemptEnd, took: Duration) {
    counter!(ATTEMPTS, "kind" => kind, "outcome" => end.as_str()).increment(1);
    histogram!(RUN, "kind" => kind).record(took);
    if end == AttemptEnd::LeaseLost {
        counter!(LEASE_LOSSES, "kind" => kind).increment(1);
    }
}

/// A job begins to run that was ready so long ago.
pub(crate) fn waited(kind: &'static str, waited: Duration) {
    histogram!(WAIT, "kind" => kind).record(waited);
}

/// A claim was answered.
pub(crate) fn claim(took: Duration) {
    histogram!(CLAIM).record(took);
}

/// Dead letters were deleted.
pub(crate) fn dead_letters_removed(count: u64) {
    counter!(DEAD_LETTERS_REMOVED).increment(count);
}

/// A slot in use, until it is dropped.
#[derive(Debug)]
pub(crate) struct PermitInUse(());

impl PermitInUse {
    pub(crate) fn take() -> Self {
        gauge!(SLOTS_IN_USE).increment(1.0);
        Self(())
    }
}

impl Drop for PermitInUse {
    fn drop(&mut self) {
        gauge!(SLOTS_IN_USE).decrement(1.0);
    }
}
