//! Detects loops of this process that hang.
//!
//! Each loop that the process depends on calls [`Heartbeat::beat`] in every round. None of its
//! waits is unbounded and silent: a statement has its timeout, and every other wait goes through
//! [`Heartbeat`]. A loop that has not beaten for [`STUCK_AFTER`] is therefore stuck: a call blocks
//! its thread, or it has a bug. A database outage stops no heartbeat.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// A loop without a heartbeat for this long is stuck. Longer than any statement may take, including
/// the wait for a connection.
pub const STUCK_AFTER: Duration = Duration::from_secs(30);

/// A wait beats this often within the bound.
const BEATS_WITHIN_BOUND: u32 = 6;

/// Knows the loops of one process and when each last beat. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Watchdog {
    started: std::time::Instant,
    bound: Duration,
    loops: Arc<Mutex<Vec<Weak<WatchedLoop>>>>,
}

#[derive(Debug)]
struct WatchedLoop {
    name: &'static str,
    /// The last beat, in milliseconds since the watchdog was made.
    beat_ms: AtomicU64,
}

/// A loop that has not beaten for longer than the watchdog's bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StuckLoop {
    /// What the loop does.
    pub name: &'static str,
    /// The time since its last beat.
    pub silent_for: Duration,
}

impl Default for Watchdog {
    fn default() -> Self {
        Self::new(STUCK_AFTER)
    }
}

impl Watchdog {
    /// A watchdog that calls a loop stuck when it has not beaten for `bound`.
    pub fn new(bound: Duration) -> Self {
        Self {
            started: std::time::Instant::now(),
            bound,
            loops: Arc::default(),
        }
    }

    /// Registers a loop. It is watched until its heartbeat is dropped.
    pub fn heartbeat(&self, name: &'static str) -> Heartbeat {
        let heartbeat = Heartbeat {
            watchdog: self.clone(),
            watched: Arc::new(WatchedLoop {
                name,
                beat_ms: AtomicU64::new(0),
            }),
        };
        heartbeat.beat();
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops.retain(|other| other.strong_count() > 0);
        loops.push(Arc::downgrade(&heartbeat.watched));
        heartbeat
    }

    /// The loops that are stuck now.
    pub fn stuck(&self) -> Vec<StuckLoop> {
        let now = self.started.elapsed();
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        let watched = loops.iter().filter_map(Weak::upgrade);
        watched
            .map(|watched| StuckLoop {
                name: watched.name,
                silent_for: now.saturating_sub(Duration::from_millis(
                    watched.beat_ms.load(Ordering::Relaxed),
                )),
            })
            .filter(|stuck| stuck.silent_for > self.bound)
            .collect()
    }
}

/// Tells the [`Watchdog`] that a loop makes progress.
#[derive(Debug)]
pub struct Heartbeat {
    watchdog: Watchdog,
    watched: Arc<WatchedLoop>,
}

impl Heartbeat {
    /// The loop makes progress.
    pub fn beat(&self) {
        let now = u64::try_from(self.watchdog.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.watched.beat_ms.store(now, Ordering::Relaxed);
    }

    /// The longest time between two beats of a loop that only waits.
    pub(crate) fn interval(&self) -> Duration {
        self.watchdog.bound / BEATS_WITHIN_BOUND
    }

    /// Sleeps, and beats meanwhile.
    pub async fn sleep(&self, pause: Duration) {
        let end = Instant::now() + pause;
        while Instant::now() < end {
            self.beat();
            tokio::time::sleep_until(end.min(Instant::now() + self.interval())).await;
        }
        self.beat();
    }

    /// Beats until it is dropped. Poll it beside a wait that has no bound.
    pub async fn keep_beating(&self) -> Infallible {
        loop {
            self.sleep(self.watchdog.bound).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loop_is_watched_from_its_first_beat_until_its_heartbeat_is_dropped() {
        let watchdog = Watchdog::new(Duration::from_millis(50));
        let (silent, waiting) = (watchdog.heartbeat("silent"), watchdog.heartbeat("waiting"));
        assert_eq!(watchdog.stuck(), []);
        waiting.sleep(Duration::from_millis(120)).await;
        let stuck = watchdog.stuck();
        assert_eq!(stuck.len(), 1, "{stuck:?}");
        assert_eq!(stuck[0].name, "silent");
        assert!(stuck[0].silent_for >= Duration::from_millis(110));
        silent.beat();
        assert_eq!(watchdog.stuck(), []);
        tokio::select! {
            never = waiting.keep_beating() => match never {},
            () = tokio::time::sleep(Duration::from_millis(120)) => {}
        }
        drop(silent);
        assert_eq!(watchdog.stuck(), []);
    }
}
