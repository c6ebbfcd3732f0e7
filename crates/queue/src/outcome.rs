//! The outcome of an attempt: what the acknowledgement makes of the job's row.

use std::time::Duration;

use crate::attempt::Fence;

/// The longest error text that is stored, in bytes.
const ERROR_LENGTH: usize = 2000;

/// What becomes of a claimed job.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// The job is done: its row is deleted.
    Complete,
    /// The job is due again after `delay`. The attempt counts.
    Retry { delay: Duration, error: String },
    /// The job is due again after `delay`. The attempt does not count.
    Snooze { delay: Duration },
    /// The job becomes a dead letter.
    DeadLetter {
        reason: DeadLetterReason,
        error: String,
    },
}

impl Outcome {
    /// The job is a dead letter, because another attempt would not help.
    pub(crate) fn discarded(error: &str) -> Self {
        Self::DeadLetter {
            reason: DeadLetterReason::Discarded,
            error: storable(error),
        }
    }

    /// The job is ready again at once, and the attempt does not count: the worker stops.
    pub(crate) fn release() -> Self {
        Self::Snooze {
            delay: Duration::ZERO,
        }
    }
}

/// Why a job became a dead letter.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DeadLetterReason {
    Discarded,
    AttemptsExhausted,
    Undecodable,
}

impl DeadLetterReason {
    /// As stored in `queue.dead_jobs.reason`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Discarded => "discarded",
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::Undecodable => "undecodable",
        }
    }
}

/// The acknowledgement of one claim.
#[derive(Debug)]
pub(crate) struct Ack {
    pub(crate) fence: Fence,
    pub(crate) outcome: Outcome,
}

impl Ack {
    /// True if the job waits for a timer afterwards.
    pub(crate) fn sets_timer(&self) -> bool {
        matches!(self.outcome, Outcome::Retry { .. } | Outcome::Snooze { .. })
    }
}

/// Shortens an error text and removes what Postgres cannot store: NUL.
pub(crate) fn storable(error: &str) -> String {
    let mut text = error.replace('\0', "\u{fffd}");
    if text.len() > ERROR_LENGTH {
        text.truncate(text.floor_char_boundary(ERROR_LENGTH));
        text.push('…');
    }
    text
}
