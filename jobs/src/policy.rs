//! What operators decide about messages.

use queue::rate_limit::RateLimit;

use crate::Replies;

/// What operators decide about messages.
#[derive(Debug, Clone)]
pub struct MessagePolicy {
    /// False: messages end as `ignored_disabled`.
    pub enrichment: bool,
    /// The rate limit of each user.
    pub limit: RateLimit,
    /// Which replies are sent.
    pub replies: Replies,
}
