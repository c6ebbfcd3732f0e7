//! When the next request is due.

use std::{
    cell::Cell,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

/// When a run ends.
#[derive(Clone, Copy)]
pub(crate) enum End {
    Count(u64),
    After(Duration),
}

/// A request that is to be sent now. Times are since the start of the run.
pub(crate) struct DueRequest {
    pub(crate) index: u64,
    pub(crate) due: Duration,
}

/// Numbers the requests of all connections and, in an open loop, holds each back until it is due.
pub(crate) struct Schedule {
    start: Instant,
    end: End,
    pace: Option<Pace>,
    next: Cell<u64>,
}

struct Pace {
    rate: f64,
    /// One permit for each request that is due.
    due: Arc<Semaphore>,
}

impl Schedule {
    pub(crate) fn start(start: Instant, end: End, rate: Option<f64>) -> Self {
        let pace = rate.map(|rate| Pace {
            rate,
            due: give_permits(start, rate),
        });
        Self {
            start,
            end,
            pace,
            next: Cell::new(0),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The next request, once it is due. `None` when the run is over.
    pub(crate) async fn next(&self) -> Option<DueRequest> {
        if let Some(pace) = &self.pace {
            pace.due.acquire().await.ok()?.forget();
        }
        let index = self.next.get();
        let due = match &self.pace {
            Some(pace) => due_at(index, pace.rate),
            None => self.elapsed(),
        };
        let is_over = match self.end {
            End::Count(count) => index >= count,
            End::After(duration) => due >= duration,
        };
        if is_over {
            if let Some(pace) = &self.pace {
                pace.due.close(); // which ends the waiting connections and the thread
            }
            return None;
        }
        self.next.set(index + 1);
        Some(DueRequest { index, due })
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 requests")]
fn due_at(index: u64, rate: f64) -> Duration {
    Duration::from_secs_f64(index as f64 / rate)
}

/// Permits for a rate, from a thread of its own: the runtime's timer has steps of 1 ms, while a
/// sleeping thread wakes within 0.1 ms.
fn give_permits(start: Instant, rate: f64) -> Arc<Semaphore> {
    let permits = Arc::new(Semaphore::new(0));
    let given_to = permits.clone();
    thread::spawn(move || {
        let mut given = 0;
        while !given_to.is_closed() {
            while due_at(given, rate) <= start.elapsed() {
                given_to.add_permits(1);
                given += 1;
            }
            thread::sleep(due_at(given, rate).saturating_sub(start.elapsed()));
        }
    });
    permits
}
