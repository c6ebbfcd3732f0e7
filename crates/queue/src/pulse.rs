//! Signs of life of the loops that a process lives by.
//!
//! Such a loop beats each time around, and no wait of it is without a bound or without beats: a statement has its
//! timeout, and any other wait goes through [`Beat`]. So one that is silent for long hangs: its thread does not come
//! back from something, or it has a bug. A database that is away makes nobody silent.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// How long a loop may be silent: longer than any statement of ours may take, with its wait for a connection.
pub const STUCK_AFTER: Duration = Duration::from_secs(30);

/// The parts that a bound is waited out in, with a beat in between.
const BEATS_WITHIN_BOUND: u32 = 6;

/// The heartbeats of one process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pulse {
    begun: std::time::Instant,
    bound: Duration,
    loops: Arc<Mutex<Vec<Weak<Loop>>>>,
}

#[derive(Debug)]
struct Loop {
    name: &'static str,
    /// The last beat, in milliseconds since the pulse was made.
    beat_ms: AtomicU64,
}

/// A loop that hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stuck {
    /// What the loop does.
    pub name: &'static str,
    /// Since when it has been silent.
    pub silent_for: Duration,
}

impl Default for Pulse {
    fn default() -> Self {
        Self::new(STUCK_AFTER)
    }
}

impl Pulse {
    /// Of loops that hang once they are silent for `bound`.
    pub fn new(bound: Duration) -> Self {
        Self {
            begun: std::time::Instant::now(),
            bound,
            loops: Arc::default(),
        }
    }

    /// The heart of a loop. It is listened to until it is dropped.
    pub fn beat(&self, name: &'static str) -> Beat {
        let beat = Beat {
            pulse: self.clone(),
            of: Arc::new(Loop {
                name,
                beat_ms: AtomicU64::new(0),
            }),
        };
        beat.now();
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops.retain(|other| other.strong_count() > 0);
        loops.push(Arc::downgrade(&beat.of));
        beat
    }

    /// The loops that hang.
    pub fn stuck(&self) -> Vec<Stuck> {
        let now = self.begun.elapsed();
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        let of = loops.iter().filter_map(Weak::upgrade);
        of.map(|of| Stuck {
            name: of.name,
            silent_for: now
                .saturating_sub(Duration::from_millis(of.beat_ms.load(Ordering::Relaxed))),
        })
        .filter(|stuck| stuck.silent_for > self.bound)
        .collect()
    }
}

/// What a loop beats with.
#[derive(Debug)]
pub struct Beat {
    pulse: Pulse,
    of: Arc<Loop>,
}

impl Beat {
    /// Still there.
    pub fn now(&self) {
        let now = u64::try_from(self.pulse.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.of.beat_ms.store(now, Ordering::Relaxed);
    }

    /// Waits, and beats.
    pub async fn sleep(&self, pause: Duration) {
        let end = Instant::now() + pause;
        while Instant::now() < end {
            self.now();
            let step = self.pulse.bound / BEATS_WITHIN_BOUND;
            tokio::time::sleep_until(end.min(Instant::now() + step)).await;
        }
        self.now();
    }

    /// Beats for as long as it is waited for: beside a wait for somebody else, however long that takes.
    pub async fn meanwhile(&self) -> Infallible {
        loop {
            self.sleep(self.pulse.bound).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loop_is_listened_to_from_its_first_beat_until_it_ends() {
        let pulse = Pulse::new(Duration::from_millis(50));
        let (silent, waiting) = (pulse.beat("silent"), pulse.beat("waiting"));
        assert_eq!(pulse.stuck(), []);
        waiting.sleep(Duration::from_millis(120)).await;
        let stuck = pulse.stuck();
        assert_eq!(stuck.len(), 1, "{stuck:?}");
        assert_eq!(stuck[0].name, "silent");
        assert!(stuck[0].silent_for >= Duration::from_millis(110));
        silent.now();
        assert_eq!(pulse.stuck(), []);
        tokio::select! {
            never = waiting.meanwhile() => match never {},
            () = tokio::time::sleep(Duration::from_millis(120)) => {}
        }
        drop(silent);
        assert_eq!(pulse.stuck(), []);
    }
}
