//! The keys of users' rate limits.

use uuid::Uuid;

/// How the keys of users' rate limits begin.
pub const RATE_KEY_PREFIX: &str = "message:";

/// The key of a user's rate limit.
pub fn rate_key(user: Uuid) -> String {
    format!("{RATE_KEY_PREFIX}{user}")
}
