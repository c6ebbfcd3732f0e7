//! Where a scan of a queue index begins.
//!
//! Completed jobs leave dead entries at the front of the index. Usually Postgres skips them and
//! clears them at once. But while any session holds an old snapshot, it can do neither, and each
//! scan from the front passes all of them again. Then a scan begins where the last one found its
//! last row. It returns to the front, for jobs that were inserted behind it, only so often that
//! this takes a twentieth of the time.
//!
//! A busy machine makes every statement slow. If that were taken for dead entries, jobs with
//! priority would wait too long. So the cursor moves on only after several slow scans from the
//! front in a row, and stays there only if a scan from further on is faster.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

/// A scan from the front that takes no longer than this is fast enough.
const CHEAP: Duration = Duration::from_millis(10);

/// After this many slow scans in a row, another beginning is tried.
const SUSPICIOUS: u32 = 4;

/// A slow scan from the front is made at most once in this many times its own duration.
const SHARE: u32 = 20;

/// Decides where the next scan begins.
#[derive(Debug)]
pub(crate) struct ScanCursor {
    reached: Option<DateTime<Utc>>,
    /// The number of slow scans from the front in a row, and the overhead of the last of them.
    slow: (u32, Duration),
    front_scan: NextFrontScan,
}

#[derive(Debug)]
enum NextFrontScan {
    Now,
    /// The next scan begins further on, to find out whether that is faster.
    AfterOneMore,
    At(Instant),
}

impl ScanCursor {
    pub(crate) fn new() -> Self {
        Self {
            reached: None,
            slow: (0, Duration::ZERO),
            front_scan: NextFrontScan::Now,
        }
    }

    /// Where to begin now. `None` is the front.
    pub(crate) fn start(&self) -> Option<DateTime<Utc>> {
        match self.front_scan {
            NextFrontScan::Now => None,
            NextFrontScan::At(due) if due <= Instant::now() => None,
            NextFrontScan::At(_) | NextFrontScan::AfterOneMore => self.reached,
        }
    }

    /// Notes a scan: where it began, the last position it reached, and how long it took beyond the
    /// cost of its rows.
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
            self.front_scan = match slow {
                SUSPICIOUS.. => NextFrontScan::AfterOneMore,
                _ => NextFrontScan::Now,
            };
        } else if matches!(self.front_scan, NextFrontScan::AfterOneMore) {
            let gain = self.slow.1.saturating_sub(overhead);
            self.front_scan = if gain > CHEAP {
                NextFrontScan::At(Instant::now() + gain * SHARE)
            } else {
                self.slow.0 = 0; // all statements are slow
                NextFrontScan::Now
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_millis(50);

    fn position() -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(1_700_000_000, 0)
    }

    /// A cursor whose last scans from the front were all slow.
    fn suspicious() -> ScanCursor {
        let mut cursor = ScanCursor::new();
        for _ in 0..SUSPICIOUS {
            assert_eq!(cursor.start(), None);
            cursor.note(None, position(), SLOW);
        }
        cursor
    }

    #[tokio::test(start_paused = true)]
    async fn with_dead_entries_scans_begin_at_the_front_a_twentieth_of_the_time() {
        let mut cursor = suspicious();
        assert_eq!(cursor.start(), position());
        cursor.note(position(), None, Duration::ZERO);
        tokio::time::advance(SLOW * (SHARE - 1)).await;
        assert_eq!(cursor.start(), position());
        tokio::time::advance(SLOW).await;
        assert_eq!(cursor.start(), None);
        cursor.note(None, position(), SLOW);
        assert_eq!(cursor.start(), position(), "still slow");
        cursor.note(position(), None, Duration::ZERO);
        tokio::time::advance(SLOW * SHARE).await;
        cursor.note(None, position(), CHEAP);
        assert_eq!(cursor.start(), None, "the old snapshot has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_machine_does_not_look_like_dead_entries() {
        let mut cursor = suspicious();
        cursor.note(position(), None, SLOW);
        assert_eq!(cursor.start(), None, "a scan from further on was no faster");
        cursor.note(None, position(), SLOW);
        assert_eq!(cursor.start(), None, "the count of slow scans starts again");
    }
}
