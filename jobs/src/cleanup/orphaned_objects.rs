//! Deletes objects that no row names. A process leaves one if it dies, or is suspended, while it
//! stores a file.

use std::time::Duration;

use chrono::TimeDelta;
use queue::{Attempt, Job, JobArgs, JobError};
use serde::{Deserialize, Serialize};
use store::media::cleanup::{namespace, unknown};

use super::objects::delete_all;
use crate::{CleanupDeps, StepError};

/// An object that is older than this belongs to no running attempt, even if two clocks differ.
const MIN_AGE: TimeDelta = TimeDelta::hours(6);

/// An interrupted upload that is idle for this long is deleted.
const MIN_IDLE: Duration = Duration::from_hours(6);

/// Deletes orphaned objects. A schedule enqueues this job every few hours, as it lists the whole
/// store.
#[derive(Debug, Serialize, Deserialize)]
pub struct CleanupOrphanedObjects {}

impl JobArgs for CleanupOrphanedObjects {
    const NAME: &'static str = "cleanup_orphaned_objects";
    const MAX_ATTEMPTS: u16 = 3;
}

impl Job<CleanupDeps> for CleanupOrphanedObjects {
    const TIMEOUT: Duration = Duration::from_hours(2);

    async fn run(&self, deps: &CleanupDeps, _: &Attempt) -> Result<(), JobError> {
        Ok(clean_up(deps).await?)
    }
}

async fn clean_up(deps: &CleanupDeps) -> Result<(), StepError> {
    let (namespace, now) = {
        let mut conn = deps.pool.acquire().await?;
        (namespace(&mut conn).await?, store::now(&mut conn).await?)
    };
    let (mut deleted, mut failed) = (0, None);
    let mut groups = deps.media_store.older(&namespace, now - MIN_AGE);
    while let Some(names) = groups.next().await? {
        let orphans = {
            let mut conn = deps.pool.acquire().await?;
            unknown(&mut conn, &names).await?
        };
        let (names, error) = delete_all(&deps.media_store, orphans).await;
        deleted += names.len();
        failed = error.or(failed);
    }
    let interrupted = deps
        .media_store
        .delete_interrupted_uploads(&namespace, MIN_IDLE)
        .await?;
    if deleted > 0 || interrupted > 0 {
        tracing::warn!(deleted, interrupted, "deleted objects that no row names");
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}
