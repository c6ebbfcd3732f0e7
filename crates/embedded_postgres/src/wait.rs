//! Waits for a condition that no descriptor or signal reports.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Polls `done`, and returns whether it became true within `limit`.
pub(crate) fn until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if done() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
