//! Checks the media store: whether it writes and reads, and whether its disk has free space.

use std::{path::Path, time::Duration};

use anyhow::Context;
use jobs::MediaStore;
use tokio::time::timeout;
use uuid::Uuid;

use super::{
    configuration::{part, unusable},
    finding::Finding,
};
use crate::config::{Env, MediaStoreConfig};

const STORE: &str = "media_store";
const SPACE: &str = "media_space";

/// The longest time that the store may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Less free space than this is a fault, in bytes.
const FULL: u64 = 100 << 20;

/// Less free space than this is a warning, in bytes.
const NEARLY_FULL: u64 = 1 << 30;

pub(super) async fn check(env: &Env) -> Vec<Finding> {
    let Some(config) = part(env, MediaStoreConfig::read) else {
        return vec![unusable(STORE)];
    };
    let store = match config.open() {
        Ok(store) => store,
        Err(error) => return vec![broken(error)],
    };
    let mut findings = vec![match try_out(&store).await {
        Ok(()) => Finding::ok(STORE, "a file could be written, read and deleted"),
        Err(error) => broken(error),
    }];
    findings.extend(store.folder_path().map(space));
    findings
}

fn broken(error: impl Into<anyhow::Error>) -> Finding {
    let error = error.into();
    Finding::fault(
        STORE,
        format!("MEDIA_STORE cannot be used, so messages with files are not processed: {error:#}"),
        "give the workers' system user write access, or correct MEDIA_STORE and, for a bucket, its credentials",
    )
}

async fn try_out(store: &MediaStore) -> anyhow::Result<()> {
    let name = format!("doctor/{}", Uuid::new_v4().simple());
    timeout(LIMIT, store.try_out(&name))
        .await
        .context("it took longer than 20 s")??;
    Ok(())
}

fn space(folder: &Path) -> Finding {
    match rustix::fs::statvfs(folder) {
        Ok(disk) => judge(
            disk.f_bavail.saturating_mul(disk.f_frsize),
            disk.f_blocks.saturating_mul(disk.f_frsize),
        ),
        Err(error) => Finding::failed(SPACE, std::io::Error::from(error)),
    }
}

fn judge(free: u64, size: u64) -> Finding {
    let says = format!("{} MB are free of {} MB", free >> 20, size >> 20);
    let fix = "free disk space, lower MEDIA_RETENTION_DAYS, or move MEDIA_STORE";
    if free < FULL {
        Finding::fault(SPACE, says, fix)
    } else if free < NEARLY_FULL {
        Finding::warning(SPACE, says, fix)
    } else {
        Finding::ok(SPACE, says)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::finding::FindingStatus, *};

    #[test]
    fn a_nearly_full_disk_is_reported_before_it_is_full() {
        let gb = 1 << 30;
        for (free, size, expected) in [
            (4 * gb, 100 * gb, FindingStatus::Ok),
            (gb / 2, 2 * gb, FindingStatus::Warning),
            (FULL - 1, gb, FindingStatus::Fault),
        ] {
            assert_eq!(judge(free, size).status, expected, "{free} of {size}");
        }
    }
}
