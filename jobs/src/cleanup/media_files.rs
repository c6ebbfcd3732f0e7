//! Erases media files whose retention is over, and deletes objects that no row needs any more.

use std::time::Duration;

use queue::{Attempt, Job, JobArgs, JobError};
use serde::{Deserialize, Serialize};
use store::media::cleanup::{self, erase_older, garbage, give_up_storing, left_at_twilio};

use super::{objects::delete_all, twilio_copies::CleanupTwilioCopies};
use crate::{
    CleanupDeps, StepError,
    metrics::{self, Removed},
};

/// An attempt at a message takes minutes. A file that an attempt began to store a day ago will not
/// be stored.
const STORING: Duration = Duration::from_hours(24);

/// How many rows one statement erases at most. A smaller result is the last one.
const BATCH: u64 = 1000;

/// Erases old media files and deletes their objects. A schedule enqueues this job every few
/// minutes.
#[derive(Debug, Serialize, Deserialize)]
pub struct CleanupMediaFiles {}

impl JobArgs for CleanupMediaFiles {
    const NAME: &'static str = "cleanup_media_files";
    const MAX_ATTEMPTS: u16 = 3;
}

impl Job<CleanupDeps> for CleanupMediaFiles {
    const TIMEOUT: Duration = Duration::from_mins(30);

    async fn run(&self, deps: &CleanupDeps, _: &Attempt) -> Result<(), JobError> {
        Ok(clean_up(deps).await?)
    }
}

/// Each statement commits on its own. Killed in between, the job continues where it was.
async fn clean_up(deps: &CleanupDeps) -> Result<(), StepError> {
    let (mut erased, mut given_up) = (0, 0);
    loop {
        let mut conn = deps.pool.acquire().await?;
        let batch = erase_older(&mut conn, deps.keep_media).await?;
        erased += batch;
        metrics::removed(Removed::Media, batch);
        if batch < BATCH {
            break;
        }
    }
    loop {
        let mut conn = deps.pool.acquire().await?;
        let batch = give_up_storing(&mut conn, STORING).await?;
        given_up += batch;
        if batch < BATCH {
            break;
        }
    }
    if deps.delete_at_twilio {
        let mut conn = deps.pool.acquire().await?;
        let left = left_at_twilio(&mut conn).await?;
        let messages = left.iter().filter_map(|sid| sid.parse().ok());
        CleanupTwilioCopies::enqueue(&mut conn, messages).await?;
    }
    let deleted = delete_garbage(deps).await?;
    if erased + given_up + deleted > 0 {
        tracing::info!(erased, given_up, deleted, "media files cleaned up");
    }
    Ok(())
}

/// An object that cannot be deleted does not stop the others. The next run tries it again.
async fn delete_garbage(deps: &CleanupDeps) -> Result<u64, StepError> {
    let (mut after, mut count, mut failed) = (None, 0, None);
    loop {
        let batch = {
            let mut conn = deps.pool.acquire().await?;
            garbage(&mut conn, after.as_ref()).await?
        };
        let Some(last) = batch.last() else { break };
        after = Some(last.clone());
        let names = batch.into_iter().map(|(_, name)| name).collect();
        let (deleted, error) = delete_all(&deps.media_store, names).await;
        failed = error.or(failed);
        count += deleted.len() as u64;
        let mut conn = deps.pool.acquire().await?;
        cleanup::delete_garbage(&mut conn, &deleted).await?;
    }
    failed.map_or(Ok(count), |error| Err(StepError::NotDeleted(error)))
}
