//! The decision about an event, for callers.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::gcra::Decision;

/// What a rate limit decides about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may start now.
    Now,
    /// It has a reservation, which no other event gets.
    At {
        /// How long until then.
        wait: Duration,
        /// When it may start.
        starts_at: DateTime<Utc>,
    },
    /// Its reservation would be too far away. None was made: the event costs its key nothing.
    Refused {
        /// How far away it would be.
        wait: Duration,
    },
}

/// Translates a decision that was made at the time `now`. Returns with it when the event may start;
/// for a refused one, when it could have started.
pub(super) fn admission(decision: Decision, now: u64) -> (Admission, DateTime<Utc>) {
    let (Decision::Admitted { starts_at, .. } | Decision::Refused { starts_at }) = decision;
    let wait = Duration::from_nanos(starts_at.saturating_sub(now));
    let time = DateTime::from_timestamp_nanos(bigint(starts_at));
    let admission = match decision {
        Decision::Refused { .. } => Admission::Refused { wait },
        Decision::Admitted { .. } if starts_at <= now => Admission::Now,
        Decision::Admitted { .. } => Admission::At {
            wait,
            starts_at: time,
        },
    };
    (admission, time)
}

/// Nanoseconds as the database stores them.
pub(super) fn bigint(nanos: u64) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}
