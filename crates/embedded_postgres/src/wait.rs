//! Waiting for what no descriptor or signal tells us, with a deadline.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Whether `done` came true within `limit`.
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
