//! What a rate limit allows.

use std::{num::NonZeroU32, time::Duration};

/// The resolution of the database's clock and of what it stores, in nanoseconds.
const MICROSECOND: u64 = 1_000;

/// Fifty years, in nanoseconds. With no limit longer than that, sums of times fit the database's
/// bigint until 2162.
const LONGEST: u64 = 50 * 365 * 24 * 3_600 * 1_000_000_000;

/// At most `burst` events of a key at once, and one more every `period`.
///
/// It may change at any time. Reservations that were made stay as they are; later ones obey the new
/// limit among themselves.
#[derive(Debug, Clone, Copy)]
pub struct RateLimit {
    /// How many events an unused key may have at once.
    pub burst: NonZeroU32,
    /// How long it takes until one more is admitted. Counted in whole microseconds, rounded up, at
    /// least one; and shortened where `burst` periods are longer than fifty years.
    pub period: Duration,
    /// An event whose reservation would be further away than this is refused. At most fifty years.
    pub max_delay: Duration,
}

impl RateLimit {
    /// The period as it is counted, in nanoseconds: whole microseconds, and shortened where a burst
    /// of them would be longer than fifty years.
    pub(super) fn counted_period(&self) -> u64 {
        let period = nanos(self.period).div_ceil(MICROSECOND) * MICROSECOND;
        let longest = LONGEST / u64::from(self.burst.get());
        period.clamp(MICROSECOND, longest - longest % MICROSECOND)
    }

    /// The period as it is counted, in nanoseconds.
    pub fn period_ns(&self) -> i64 {
        self.counted_period().cast_signed()
    }

    /// A burst of periods, in nanoseconds: how far ahead of the time the number of a key may be.
    pub fn burst_ns(&self) -> i64 {
        self.period_ns() * i64::from(self.burst.get())
    }
}

/// Whole nanoseconds, at most [`LONGEST`].
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).map_or(LONGEST, |nanos| nanos.min(LONGEST))
}
