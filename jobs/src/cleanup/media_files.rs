//! Keeps media no longer than they may be kept, and deletes the objects that nobody needs any more.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use queue::{Attempt, Job, JobArgs, JobError};
use serde::{Deserialize, Serialize};
use store::media::upkeep::{self, erase_older, garbage, give_up_storing, left_at_twilio};

use crate::{
    CleanupTwilioCopies, Deps, MediaStore, MediaStoreError, StepError,
    metrics::{self, Removed},
};

/// An attempt at a message takes minutes. What was begun a day ago and is not there will not be.
const STORING: Duration = Duration::from_hours(24);

/// Objects that are deleted at once.
const AT_ONCE: usize = 16;

/// As many rows are erased by one statement at most, so fewer mean that there are no more.
const BATCH: u64 = 1000;

/// What the upkeep of media needs.
#[derive(Debug, Clone)]
pub struct MediaUpkeepDeps {
    /// The database.
    pub deps: Deps,
    /// Where the objects are.
    pub store: MediaStore,
    /// How long a file is kept after it was stored.
    pub retention: Duration,
    /// Have Twilio delete what it still has of messages that have ended.
    pub delete_at_twilio: bool,
}

/// Meant for a schedule, of every few minutes: an erased file's object goes with the next run.
#[derive(Debug, Serialize, Deserialize)]
pub struct CleanupMediaFiles {}

impl JobArgs for CleanupMediaFiles {
    const NAME: &'static str = "cleanup_media_files";
    const MAX_ATTEMPTS: u16 = 3;
}

impl Job<MediaUpkeepDeps> for CleanupMediaFiles {
    const TIMEOUT: Duration = Duration::from_mins(30);

    async fn run(&self, deps: &MediaUpkeepDeps, _: &Attempt) -> Result<(), JobError> {
        Ok(keep_up(deps).await?)
    }
}

/// Each statement commits for itself, so one that was killed goes on where it was.
async fn keep_up(deps: &MediaUpkeepDeps) -> Result<(), StepError> {
    let (mut erased, mut given_up) = (0, 0);
    loop {
        let mut conn = deps.deps.pool.acquire().await?;
        let done = erase_older(&mut conn, deps.retention).await?;
        erased += done;
        metrics::removed(Removed::Media, done);
        if done < BATCH {
            break;
        }
    }
    loop {
        let mut conn = deps.deps.pool.acquire().await?;
        let done = give_up_storing(&mut conn, STORING).await?;
        given_up += done;
        if done < BATCH {
            break;
        }
    }
    if deps.delete_at_twilio {
        let mut conn = deps.deps.pool.acquire().await?;
        let left = left_at_twilio(&mut conn).await?;
        let messages = left.iter().filter_map(|sid| sid.parse().ok());
        CleanupTwilioCopies::enqueue(&mut conn, messages).await?;
    }
    let deleted = delete_garbage(deps).await?;
    if erased + given_up + deleted > 0 {
        tracing::info!(erased, given_up, deleted, "media upkeep");
    }
    Ok(())
}

/// One that cannot be deleted holds up no other; it is there again next time.
async fn delete_garbage(deps: &MediaUpkeepDeps) -> Result<u64, StepError> {
    let (mut after, mut count, mut failed) = (None, 0, None);
    loop {
        let batch = {
            let mut conn = deps.deps.pool.acquire().await?;
            garbage(&mut conn, after.as_ref()).await?
        };
        let Some(last) = batch.last() else { break };
        after = Some(last.clone());
        let names = batch.into_iter().map(|(_, name)| name).collect();
        let (deleted, error) = delete_all(&deps.store, names).await;
        failed = error.or(failed);
        count += deleted.len() as u64;
        let mut conn = deps.deps.pool.acquire().await?;
        upkeep::forget_garbage(&mut conn, &deleted).await?;
    }
    failed.map_or(Ok(count), |error| Err(error.into()))
}

/// Deletes objects; answers those that are gone, and what kept the others, if any.
pub(crate) async fn delete_all(
    store: &MediaStore,
    names: Vec<String>,
) -> (Vec<String>, Option<MediaStoreError>) {
    let tries = stream::iter(names).map(async |name| store.delete(&name).await.map(|()| name));
    let mut tries = tries.buffer_unordered(AT_ONCE);
    let (mut deleted, mut failed) = (Vec::new(), None);
    while let Some(tried) = tries.next().await {
        match tried {
            Ok(name) => deleted.push(name),
            Err(error) => failed = Some(error),
        }
    }
    metrics::removed(Removed::MediaObjects, deleted.len() as u64);
    (deleted, failed)
}
