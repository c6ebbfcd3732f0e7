//! Waits for a condition and fails the test if it does not become true.

use std::time::{Duration, Instant};

/// Long enough for anything on a busy machine. A test about time has its own limit.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Calls `look` until it returns a value. Panics if it returns none within `limit`.
pub(crate) async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
