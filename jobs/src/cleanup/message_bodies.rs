//! Erases what messages say when it has been kept for long enough; their rows, and the items they made, stay. And forgets
//! the rate limits of users who are gone, which no foreign key does.

use std::time::Duration;

use queue::{Attempt, Job, JobArgs, JobError, rate_limit};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use store::{inbound_messages, users};
use uuid::Uuid;

use crate::{
    StepError,
    metrics::{self, Removed},
    process_message::{RATE_KEY, rate_key},
};

/// The most messages in one statement: short transactions, also when retention is switched on late.
const BATCH: u32 = 1000;

/// The most rate limits looked at together.
const KEYS: u16 = 1000;

/// What [`CleanupMessageBodies`] works with.
#[derive(Debug, Clone)]
pub struct RetentionDeps {
    /// The database.
    pub pool: PgPool,
    /// How long what messages say is kept after they have ended.
    pub messages: Duration,
}

/// Meant for a schedule.
#[derive(Debug, Serialize, Deserialize)]
pub struct CleanupMessageBodies {}

impl JobArgs for CleanupMessageBodies {
    const NAME: &'static str = "cleanup_message_bodies";
    const MAX_ATTEMPTS: u16 = 3;
}

impl Job<RetentionDeps> for CleanupMessageBodies {
    const TIMEOUT: Duration = Duration::from_mins(10);

    async fn run(&self, deps: &RetentionDeps, _: &Attempt) -> Result<(), JobError> {
        let messages = erase(deps).await?;
        let users = forget_users(deps).await?;
        tracing::info!(messages, users, "erased what messages said");
        Ok(())
    }
}

/// Each batch commits for itself, so one that was killed goes on where it was.
async fn erase(deps: &RetentionDeps) -> Result<u64, StepError> {
    let mut conn = deps.pool.acquire().await?;
    let mut erased = 0;
    loop {
        let batch = inbound_messages::erase(&mut conn, deps.messages, BATCH).await?;
        erased += batch;
        metrics::removed(Removed::MessageTexts, batch);
        if batch < u64::from(BATCH) {
            return Ok(erased);
        }
    }
}

/// Forgets the rate limits of users who are gone; answers how many.
async fn forget_users(deps: &RetentionDeps) -> Result<usize, StepError> {
    let mut conn = deps.pool.acquire().await?;
    let (mut forgotten, mut after) = (0, None::<String>);
    loop {
        let prefix = RATE_KEY;
        let keys = rate_limit::keys_from(&mut conn, prefix, after.as_deref(), KEYS).await?;
        let user = |key: &String| Uuid::try_parse(key.strip_prefix(prefix)?).ok();
        let ids: Vec<Uuid> = keys.iter().filter_map(user).collect();
        for gone in users::missing(&mut conn, &ids).await? {
            rate_limit::forget_key(&mut conn, &rate_key(gone)).await?;
            forgotten += 1;
            metrics::removed(Removed::RateLimits, 1);
        }
        match keys.last() {
            Some(last) => after = Some(last.clone()),
            None => return Ok(forgotten),
        }
    }
}
