//! Erases what messages say when their retention is over. Their rows, and the items they made,
//! stay. Also deletes the rate limits of deleted users, which no foreign key does.

use std::time::Duration;

use queue::{Attempt, Job, JobArgs, JobError, rate_limit};
use serde::{Deserialize, Serialize};
use store::{
    inbound_messages::{self, RATE_KEY_PREFIX, rate_key},
    users,
};
use uuid::Uuid;

use crate::{
    CleanupDeps, StepError,
    metrics::{self, Removed},
};

/// How many messages one statement erases at most, so that transactions stay short when the
/// retention is shortened.
const BATCH: u32 = 1000;

/// How many rate limits are checked at once.
const KEYS: u16 = 1000;

/// Erases what old messages say. A schedule enqueues this job.
#[derive(Debug, Serialize, Deserialize)]
pub struct CleanupMessageBodies {}

impl JobArgs for CleanupMessageBodies {
    const NAME: &'static str = "cleanup_message_bodies";
    const MAX_ATTEMPTS: u16 = 3;
}

impl Job<CleanupDeps> for CleanupMessageBodies {
    const TIMEOUT: Duration = Duration::from_mins(10);

    async fn run(&self, deps: &CleanupDeps, _: &Attempt) -> Result<(), JobError> {
        let messages = erase(deps).await?;
        let users = delete_rate_limits_of_deleted_users(deps).await?;
        tracing::info!(messages, users, "erased what old messages say");
        Ok(())
    }
}

/// Each batch commits on its own. Killed in between, the job continues where it was.
async fn erase(deps: &CleanupDeps) -> Result<u64, StepError> {
    let mut conn = deps.pool.acquire().await?;
    let mut erased = 0;
    loop {
        let batch =
            inbound_messages::cleanup::erase_bodies(&mut conn, deps.keep_messages, BATCH).await?;
        erased += batch;
        metrics::removed(Removed::MessageTexts, batch);
        if batch < u64::from(BATCH) {
            return Ok(erased);
        }
    }
}

/// Returns how many rate limits were deleted.
async fn delete_rate_limits_of_deleted_users(deps: &CleanupDeps) -> Result<usize, StepError> {
    let mut conn = deps.pool.acquire().await?;
    let (mut deleted, mut after) = (0, None::<String>);
    loop {
        let keys =
            rate_limit::keys_from(&mut conn, RATE_KEY_PREFIX, after.as_deref(), KEYS).await?;
        let user = |key: &String| Uuid::try_parse(key.strip_prefix(RATE_KEY_PREFIX)?).ok();
        let ids: Vec<Uuid> = keys.iter().filter_map(user).collect();
        for missing in users::missing(&mut conn, &ids).await? {
            rate_limit::delete_key(&mut conn, &rate_key(missing)).await?;
            deleted += 1;
            metrics::removed(Removed::RateLimits, 1);
        }
        match keys.last() {
            Some(last) => after = Some(last.clone()),
            None => return Ok(deleted),
        }
    }
}
