//! Erases what messages say when it has been kept for long enough. Their rows, and the items they made, stay.

use std::time::Duration;

use queue::{Attempt, Job, JobError};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use store::inbound_messages;

use crate::StepError;

/// The most messages in one statement: short transactions, also when retention is switched on late.
const BATCH: u32 = 1000;

/// What [`EraseMessages`] works with.
#[derive(Debug, Clone)]
pub struct RetentionDeps {
    /// The database.
    pub pool: PgPool,
    /// How long what messages say is kept after they have ended.
    pub messages: Duration,
}

/// Meant for a schedule.
#[derive(Debug, Serialize, Deserialize)]
pub struct EraseMessages {}

impl Job for EraseMessages {
    const NAME: &'static str = "erase_messages";
    const MAX_ATTEMPTS: u16 = 3;
    const TIMEOUT: Duration = Duration::from_mins(10);
    type Deps = RetentionDeps;

    async fn run(&self, deps: &RetentionDeps, _: &Attempt) -> Result<(), JobError> {
        let messages = erase(deps).await?;
        tracing::info!(messages, "erased what messages said");
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
        if batch < u64::from(BATCH) {
            return Ok(erased);
        }
    }
}
