//! Deletes objects that no row knows: what a process leaves that dies, or sleeps, at the wrong moment.

use std::time::Duration;

use chrono::TimeDelta;
use queue::{Attempt, Job, JobArgs, JobError};
use serde::{Deserialize, Serialize};
use store::media::upkeep::{namespace, unknown};

use crate::{MediaUpkeepDeps, StepError, cleanup::media_files::delete_all};

/// No object of a living attempt is so old, nor are two clocks so far apart.
const OLD: TimeDelta = TimeDelta::hours(6);

/// The same, for what an upload has left that was cut off.
const IDLE: Duration = Duration::from_hours(6);

/// Meant for a schedule, of every few hours: it lists the whole store.
#[derive(Debug, Serialize, Deserialize)]
pub struct CleanupOrphanedObjects {}

impl JobArgs for CleanupOrphanedObjects {
    const NAME: &'static str = "cleanup_orphaned_objects";
    const MAX_ATTEMPTS: u16 = 3;
}

impl Job<MediaUpkeepDeps> for CleanupOrphanedObjects {
    const TIMEOUT: Duration = Duration::from_hours(2);

    async fn run(&self, deps: &MediaUpkeepDeps, _: &Attempt) -> Result<(), JobError> {
        Ok(sweep(deps).await?)
    }
}

async fn sweep(deps: &MediaUpkeepDeps) -> Result<(), StepError> {
    let (namespace, now) = {
        let mut conn = deps.deps.pool.acquire().await?;
        (namespace(&mut conn).await?, store::now(&mut conn).await?)
    };
    let (mut deleted, mut failed) = (0, None);
    let mut groups = deps.store.older(&namespace, now - OLD);
    while let Some(names) = groups.next().await? {
        let orphans = {
            let mut conn = deps.deps.pool.acquire().await?;
            unknown(&mut conn, &names).await?
        };
        let (gone, error) = delete_all(&deps.store, orphans).await;
        deleted += gone.len();
        failed = error.or(failed);
    }
    let cut_off = deps.store.remove_cut_off(&namespace, IDLE).await?;
    if deleted > 0 || cut_off > 0 {
        tracing::warn!(deleted, cut_off, "objects that no row knew");
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}
