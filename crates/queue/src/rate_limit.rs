//! A rate limit for each key, exact over all processes. An event beyond the limit gets a
//! reservation for a later time of its own instead of being refused.
//!
//! In any window of length `W` at most `burst + W / period` events of a key start, by the
//! database's clock. A reservation belongs to one event alone, so the event that waits for it need
//! not ask again. A reservation is written together with what it is for, in one transaction.
//!
//! Nothing is locked while a process decides. It reads the keys ([`RateLimitSnapshot::read`]),
//! decides ([`RateLimitSnapshot::reserve`]), and writes the new numbers with the SQL function
//! `queue.update_rate_limits`, which skips a key that another transaction has changed meanwhile. So
//! the row of a key is locked for one statement only, and a user who sends much does not hold up
//! other processes.

mod admission;
mod gcra;
mod keys;
mod limit;
mod snapshot;

pub use self::admission::Admission;
pub use self::keys::{delete_expired, delete_key, keys_from};
pub use self::limit::RateLimit;
pub use self::snapshot::{RateLimitSnapshot, RateLimitUpdates};
