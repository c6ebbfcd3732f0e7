//! The decision, without SQL: governor's GCRA over the number that is stored for a key.
//!
//! That number is GCRA's *theoretical arrival time*, here in nanoseconds since the Unix epoch. An
//! event conforms from `(burst - 1) * period` before it, and each admitted event moves it on by one
//! period. A number in the past means the same as no number.

use std::{cell::Cell, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{NotKeyed, StateStore},
};

use super::limit::{RateLimit, nanos};

/// The last time that fits into a bigint.
const END_OF_TIME: u64 = i64::MAX.unsigned_abs();

/// A limit in the terms of the decision.
pub(super) struct Gcra {
    quota: Quota,
    max_delay: u64,
}

/// The decision about one event. Times in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// It may start at this time, and the key's new number is `arrival`.
    Admitted { starts_at: u64, arrival: u64 },
    /// It could have started at this time, which is too far away. The key's number stays.
    Refused { starts_at: u64 },
}

impl Decision {
    /// The key's new number, if it changes.
    pub(super) fn arrival(self) -> Option<u64> {
        match self {
            Self::Admitted { arrival, .. } => Some(arrival),
            Self::Refused { .. } => None,
        }
    }
}

impl Gcra {
    pub(super) fn new(limit: &RateLimit) -> Self {
        let period = limit.counted_period();
        // `with_period` returns a quota, as the period is not zero.
        let quota = Quota::with_period(Duration::from_nanos(period))
            .unwrap_or(Quota::per_second(limit.burst))
            .allow_burst(limit.burst);
        Self {
            quota,
            max_delay: nanos(limit.max_delay),
        }
    }

    /// Decides on one event of a key whose number is `arrival` (0: none), at the time `now`.
    pub(super) fn decide(&self, arrival: u64, now: u64) -> Decision {
        let (arrival, now) = (arrival.min(END_OF_TIME), now.min(END_OF_TIME));
        let (starts_at, next) = match self.check(arrival, now) {
            Ok(next) => (now, next),
            Err(starts_at) if starts_at - now > self.max_delay => {
                return Decision::Refused { starts_at };
            }
            // The event conforms at the time that governor names. Deciding for that time moves the
            // number on.
            Err(starts_at) => match self.check(arrival, starts_at) {
                Ok(next) => (starts_at, next),
                Err(starts_at) => return Decision::Refused { starts_at },
            },
        };
        if next > END_OF_TIME {
            return Decision::Refused { starts_at };
        }
        Decision::Admitted {
            starts_at,
            arrival: next,
        }
    }

    /// Returns the key's next number if an event conforms at this time, otherwise the earliest time
    /// at which it would.
    fn check(&self, arrival: u64, time: u64) -> Result<u64, u64> {
        let state = StoredNumber {
            arrival: arrival.into(),
            next: Cell::new(arrival),
        };
        // A limiter keeps its numbers relative to the time at which it was made
        // (boinkor-net/governor#252). It is made while the clock reads 0, so its numbers are the
        // stored ones.
        let limiter = RateLimiter::<_, _, _, NoOpMiddleware<_>>::new(
            self.quota,
            state,
            StoppedClock(Cell::new(0)),
        );
        limiter.clock().0.set(time);
        match limiter.check() {
            Ok(()) => Ok(limiter.into_state_store().next.get()),
            Err(not_until) => Err(not_until.earliest_possible().as_u64()),
        }
    }
}

/// A key's number, for governor. Only one thread uses it, so there is nothing to compare and swap.
struct StoredNumber {
    arrival: Nanos,
    next: Cell<u64>,
}

impl StateStore for StoredNumber {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (outcome, next) = measure(Some(self.arrival))?;
        self.next.set(next.into());
        Ok(outcome)
    }
}

/// A clock that shows the database's time.
#[derive(Clone)]
struct StoppedClock(Cell<u64>);

impl Clock for StoppedClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.get().into()
    }
}

#[cfg(test)]
mod tests;
