//! A job that this process has claimed.

use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::attempt::{Fence, JobId};

/// A claimed job. Ordered by its position in the queue.
#[derive(Debug, Clone)]
pub(crate) struct ClaimedJob {
    pub(crate) fence: Fence,
    pub(crate) attempt: u16,
    pub(crate) max_attempts: u16,
    /// Steps of priority, those below 0 first.
    pub(crate) priority: i16,
    pub(crate) unique_key: Option<String>,
    pub(crate) args: String,
    pub(crate) trace: Option<String>,
    pub(crate) position: DateTime<Utc>,
    pub(crate) claimed_at: DateTime<Utc>,
    /// When it became ready, by the database's clock. `None` where only the first claim could know
    /// that.
    pub(crate) ready_since: Option<DateTime<Utc>>,
    /// The same by this process's clock.
    pub(crate) ready_at: Option<Instant>,
}

impl ClaimedJob {
    fn key(&self) -> (DateTime<Utc>, JobId) {
        (self.position, self.fence.job)
    }
}

impl Ord for ClaimedJob {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for ClaimedJob {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ClaimedJob {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for ClaimedJob {}
