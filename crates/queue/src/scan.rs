//! Where a scan of a queue index begins.
//!
//! Ended jobs leave dead entries at the front of the index. Usually Postgres skips and clears them at once, but as long
//! as any session holds an old snapshot it can do neither, and each scan from the front would pass all of them again.
//! So a scan begins where the last one found its last row, and goes back to the front, for what was inserted behind,
//! as often as that costs a twentieth of the time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

/// A scan from the front that takes no longer than this is no burden.
const CHEAP: Duration = Duration::from_millis(10);

/// The most often that a costly scan from the front may be made: once in so many times what it took.
const SHARE: u32 = 20;

/// The beginning of the next scan.
#[derive(Debug)]
pub(crate) struct Floor {
    reached: Option<DateTime<Utc>>,
    full_scan_due: Instant,
}

impl Floor {
    pub(crate) fn new() -> Self {
        Self {
            reached: None,
            full_scan_due: Instant::now(),
        }
    }

    /// Where to begin now; `None` is the front.
    pub(crate) fn start(&self) -> Option<DateTime<Utc>> {
        if self.full_scan_due <= Instant::now() {
            None
        } else {
            self.reached
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
            let pause = overhead.saturating_sub(CHEAP) * SHARE;
            self.full_scan_due = Instant::now() + pause;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn cheap_scans_always_begin_at_the_front_and_costly_ones_a_twentieth_of_the_time() {
        let mut floor = Floor::new();
        let place = DateTime::from_timestamp(1_700_000_000, 0);
        floor.note(None, place, CHEAP);
        assert_eq!(floor.start(), None);
        floor.note(None, place, CHEAP + Duration::from_millis(50));
        assert_eq!(floor.start(), place);
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(floor.start(), place);
        floor.note(place, None, Duration::from_secs(9)); // it began at the floor: no news of the front
        tokio::time::advance(Duration::from_millis(2)).await;
        assert_eq!(floor.start(), None);
    }
}
