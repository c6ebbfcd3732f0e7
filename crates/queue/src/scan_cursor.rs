//! Where a scan of a queue index begins.
//!
//! Ended jobs leave dead entries at the front of the index. Usually Postgres skips and clears them at once, but as long
//! as any session holds an old snapshot it can do neither, and each scan from the front would pass all of them again.
//! Then a scan begins where the last one found its last row, and goes back to the front, for what was inserted behind,
//! as often as that costs a twentieth of the time.
//!
//! A busy machine makes every statement slow, and taking that for dead entries would keep waiting what is to go first.
//! So it takes several slow scans from the front in a row, and one from further on that is quicker.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

/// A scan from the front that takes no longer than this is no burden.
const CHEAP: Duration = Duration::from_millis(10);

/// So many scans in a row must have been slow before another beginning is tried.
const SUSPICIOUS: u32 = 4;

/// The most often that a costly scan from the front may be made: once in so many times what it costs.
const SHARE: u32 = 20;

/// The beginning of the next scan.
#[derive(Debug)]
pub(crate) struct ScanCursor {
    reached: Option<DateTime<Utc>>,
    /// Scans from the front in a row that were slow, and what the last of them took.
    slow: (u32, Duration),
    from_the_front: When,
}

#[derive(Debug)]
enum When {
    Now,
    /// The next scan begins further on, to see whether that is quicker.
    AfterOneMore,
    At(Instant),
}

impl ScanCursor {
    pub(crate) fn new() -> Self {
        Self {
            reached: None,
            slow: (0, Duration::ZERO),
            from_the_front: When::Now,
        }
    }

    /// Where to begin now; `None` is the front.
    pub(crate) fn start(&self) -> Option<DateTime<Utc>> {
        match self.from_the_front {
            When::Now => None,
            When::At(due) if due <= Instant::now() => None,
            When::At(_) | When::AfterOneMore => self.reached,
        }
    }

    /// Notes a scan: where it began, how far it got, if anywhere, and how long it took beyond what its rows cost.
    pub(crate) fn note(
        &mut self,
        start: Option<DateTime<Utc>>,
        reached: Option<DateTime<Utc>>,
        overhead: Duration,
    ) {
        self.reached = reached.or(self.reached);
        if start.is_none() {
            let slow = if overhead > CHEAP { self.slow.0 + 1 } else { 0 };
            self.slow = (slow, overhead);
            self.from_the_front = match slow {
                SUSPICIOUS.. => When::AfterOneMore,
                _ => When::Now,
            };
        } else if matches!(self.from_the_front, When::AfterOneMore) {
            let cost = self.slow.1.saturating_sub(overhead);
            self.from_the_front = if cost > CHEAP {
                When::At(Instant::now() + cost * SHARE)
            } else {
                self.slow.0 = 0; // everything is slow
                When::Now
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_millis(50);

    fn place() -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(1_700_000_000, 0)
    }

    /// A floor whose last scans from the front were all slow.
    fn suspicious() -> ScanCursor {
        let mut floor = ScanCursor::new();
        for _ in 0..SUSPICIOUS {
            assert_eq!(floor.start(), None);
            floor.note(None, place(), SLOW);
        }
        floor
    }

    #[tokio::test(start_paused = true)]
    async fn dead_entries_let_scans_begin_at_the_front_a_twentieth_of_the_time() {
        let mut floor = suspicious();
        assert_eq!(floor.start(), place());
        floor.note(place(), None, Duration::ZERO);
        tokio::time::advance(SLOW * (SHARE - 1)).await;
        assert_eq!(floor.start(), place());
        tokio::time::advance(SLOW).await;
        assert_eq!(floor.start(), None);
        floor.note(None, place(), SLOW);
        assert_eq!(floor.start(), place(), "still costly");
        floor.note(place(), None, Duration::ZERO);
        tokio::time::advance(SLOW * SHARE).await;
        floor.note(None, place(), CHEAP);
        assert_eq!(floor.start(), None, "the old snapshot is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_machine_is_not_taken_for_dead_entries() {
        let mut floor = suspicious();
        floor.note(place(), None, SLOW);
        assert_eq!(floor.start(), None, "it was no quicker from further on");
        floor.note(None, place(), SLOW);
        assert_eq!(floor.start(), None, "suspicion begins anew");
    }
}
