//! A media store that is away, full or not mounted stops no message for good: the job waits, and
//! loses no attempt.

use std::fs;

use jobs::{MediaStoreError, StepError};
use queue::JobError;
use store::media::MediaState;

use super::{
    file_server::FileAnswer,
    harness::{MediaHarness, jpeg, store_in},
};
use crate::dashboards::small_disk::SmallDisk;

#[tokio::test]
async fn a_job_waits_without_losing_an_attempt_while_the_store_cannot_be_written() {
    let harness = MediaHarness::start().await;
    let files = vec![FileAnswer::File(jpeg(300_000)); 2];
    let message = harness.message(vec![("image/jpeg", files)]).await;
    // Root may write to any folder, but not to a folder that is a file.
    let folder = harness.folder.path().join("media");
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "not a folder").unwrap();
    let failure = harness.failure(&message).await;
    assert!(matches!(failure, JobError::Snooze(_)), "{failure:?}");
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    assert_eq!(harness.state(&message).await, MediaState::Stored);
}

#[tokio::test]
async fn a_job_waits_without_losing_an_attempt_while_the_disk_is_full() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let mut harness = MediaHarness::start().await;
    harness.deps.media_store = store_in(&disk.path().join("media"));
    let files = vec![FileAnswer::File(jpeg(300_000)); 2];
    let message = harness.message(vec![("image/jpeg", files)]).await;
    let filler = disk.fill();
    let failure = harness.failure(&message).await;
    assert!(matches!(failure, JobError::Snooze(_)), "{failure:?}");
    fs::remove_file(filler).unwrap();
    assert_eq!(harness.state(&message).await, MediaState::Stored);
}

#[tokio::test]
async fn a_file_of_a_disk_that_is_not_mounted_is_not_taken_to_be_gone() {
    let harness = MediaHarness::start().await;
    let message = harness
        .usual("image/jpeg", FileAnswer::File(jpeg(1000)))
        .await;
    let media = harness.ended(&message).await;
    let object = media[0].object(&harness.deps.keyring).unwrap().unwrap();
    let folder = harness.folder.path().join("media");
    fs::rename(&folder, folder.with_extension("away")).unwrap();
    for mounted in [false, true] {
        if mounted {
            fs::create_dir(&folder).unwrap(); // where the disk belongs
        }
        let read = harness.deps.media_store.read_all(&object, 5000).await;
        let error = read.unwrap_err();
        assert!(matches!(error, MediaStoreError::Absent), "{error:?}");
        let failure = JobError::from(StepError::from(error));
        assert!(matches!(failure, JobError::Snooze(_)), "{failure:?}");
    }
    fs::remove_dir(&folder).unwrap();
    fs::rename(folder.with_extension("away"), &folder).unwrap();
    assert_eq!(harness.opened(&media[0]).await.len(), 1000);
}
