//! Waiting for what must happen, and failing when it does not.

use std::time::{Duration, Instant};

/// Long enough for anything on a busy machine. A test that is about time names its own limit.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Looks again and again until there is an answer, and panics when there is none within `limit`.
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
