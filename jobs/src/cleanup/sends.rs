//! Deletes old verification codes, SMS, rate limit events and stored API responses.

use std::time::Duration;

use queue::{Attempt, Job, JobArgs, JobError};
use serde::{Deserialize, Serialize};
use store::{idempotency_keys, limit_log, pending_verifications, sends};

use crate::{
    CleanupDeps, StepError,
    metrics::{self, Removed},
};

/// The longest window of a limit is a day.
const KEEP_LIMIT_EVENTS: Duration = Duration::from_hours(25);

/// A client may repeat a request for a day and gets the stored response.
const KEEP_RESPONSES: Duration = Duration::from_hours(24);

/// A verification that was not completed within this time is deleted.
const KEEP_VERIFICATIONS: Duration = Duration::from_hours(7 * 24);

/// How long operators can look up what became of an SMS. Its text is erased within two hours.
const KEEP_SENDS: Duration = Duration::from_hours(30 * 24);

/// Deletes what has expired. A schedule enqueues this job.
#[derive(Debug, Serialize, Deserialize)]
pub struct CleanupSends {}

impl JobArgs for CleanupSends {
    const NAME: &'static str = "cleanup_sends";
    const MAX_ATTEMPTS: u16 = 3;
}

impl Job<CleanupDeps> for CleanupSends {
    async fn run(&self, deps: &CleanupDeps, _: &Attempt) -> Result<(), JobError> {
        Ok(clean_up(deps).await?)
    }
}

/// Each statement commits on its own. Killed in between, the job continues where it was.
async fn clean_up(deps: &CleanupDeps) -> Result<(), StepError> {
    let mut conn = deps.pool.acquire().await?;
    let verifications =
        pending_verifications::delete_expired(&mut conn, KEEP_VERIFICATIONS).await?;
    let sends = sends::delete_expired(&mut conn, KEEP_SENDS).await?;
    let limit_events = limit_log::delete_expired(&mut conn, KEEP_LIMIT_EVENTS).await?;
    let responses = idempotency_keys::delete_expired(&mut conn, KEEP_RESPONSES).await?;
    metrics::removed(Removed::PendingVerifications, verifications);
    metrics::removed(Removed::Sends, sends);
    metrics::removed(Removed::LimitEvents, limit_events);
    metrics::removed(Removed::IdempotencyKeys, responses);
    tracing::info!(
        verifications,
        sends,
        limit_events,
        responses,
        "deleted what has expired"
    );
    Ok(())
}
