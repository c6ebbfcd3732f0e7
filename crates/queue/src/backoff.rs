//! The delay before a retry: exponential, jittered, capped.

use std::time::Duration;

/// The delay before the attempt after a failed one.
///
/// The delay after the n-th failure is between half of and the whole of `first * 2^(n-1)`, at most
/// `cap`. The jitter spreads the retries of jobs that failed together.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The longest delay after the first failure.
    pub first: Duration,
    /// The longest delay.
    pub cap: Duration,
}

impl Backoff {
    /// One second, doubling, up to ten minutes: twelve attempts span about half an hour.
    pub const DEFAULT: Self = Self {
        first: Duration::from_secs(1),
        cap: Duration::from_mins(10),
    };

    /// A delay for the failure of attempt `attempt` (from 1).
    pub(crate) fn delay(self, attempt: u16) -> Duration {
        let doublings = u32::from(attempt.saturating_sub(1)).min(31);
        let longest = self.first.saturating_mul(1 << doublings).min(self.cap);
        longest.mul_f64(rand::random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap_and_are_at_least_half_of_that() {
        for (attempt, longest) in [
            (1, 1),
            (2, 2),
            (5, 16),
            (10, 512),
            (11, 600),
            (u16::MAX, 600),
        ] {
            for _ in 0..100 {
                let delay = Backoff::DEFAULT.delay(attempt).as_secs_f64();
                let longest = f64::from(longest);
                assert!(
                    delay >= longest / 2.0 && delay <= longest,
                    "{attempt}: {delay}"
                );
            }
        }
    }
}
