//! The scheduled cleanup jobs: retention, garbage, orphans, and deletion at Twilio.

use std::{
    fs::File,
    time::{Duration, SystemTime},
};

use axum::http::{Method, header};
use jobs::{CleanupMediaFiles, CleanupOrphanedObjects, CleanupTwilioCopies};
use queue::{
    Job,
    testing::{JobOutcome, TestQueue},
};
use store::media::{self, MediaState, NewMedia};

use super::{
    file_server::FileAnswer,
    harness::{MediaHarness, jpeg},
};

const DAY: Duration = Duration::from_hours(24);

impl MediaHarness {
    async fn outcome<J, D>(&self, job: &J, deps: D) -> JobOutcome
    where
        J: Job<D>,
        D: Send + Sync + 'static,
    {
        let queue = TestQueue::new(self.database.pool.clone()).register::<J, _>(deps);
        let mut conn = self.database.pool.acquire().await.unwrap();
        queue::enqueue(&mut conn, job).await.unwrap();
        queue.run_one().await.unwrap().outcome
    }

    /// Runs the cleanup of media files, with a retention of 30 days.
    pub(crate) async fn keep_up(&self) {
        self.keep(30 * DAY).await;
    }

    async fn keep(&self, retention: Duration) {
        let outcome = self
            .outcome(&CleanupMediaFiles {}, self.cleanup_deps(retention))
            .await;
        assert_eq!(outcome, JobOutcome::Completed);
    }

    pub(crate) async fn sweep(&self) {
        let outcome = self
            .outcome(&CleanupOrphanedObjects {}, self.cleanup_deps(30 * DAY))
            .await;
        assert_eq!(outcome, JobOutcome::Completed);
    }

    /// Makes every file in the folder a day old.
    #[expect(clippy::disallowed_methods, reason = "the clock of the folder")]
    pub(crate) fn age_files(&self) {
        for file in self.files() {
            let file = File::options().write(true).open(file).unwrap();
            file.set_modified(SystemTime::now() - DAY).unwrap();
        }
    }

    async fn stored(&self) -> media::Media {
        let message = self
            .usual("image/jpeg", FileAnswer::File(jpeg(300_000)))
            .await;
        self.ended(&message).await.remove(0)
    }
}

#[tokio::test]
async fn a_file_is_erased_after_its_retention_and_not_before() {
    let harness = MediaHarness::start().await;
    harness.run("insert into users default values").await;
    let file = harness.stored().await;
    harness
        .run("update pigeonhole.media set stored_at = stored_at - interval '29 days 23 hours'")
        .await;
    harness.keep_up().await;
    assert_eq!(harness.opened(&file).await.len(), 300_000);

    harness
        .run("update pigeonhole.media set stored_at = stored_at - interval '1 hour'")
        .await;
    harness.keep_up().await;
    assert!(harness.files().is_empty());
    let mut conn = harness.database.pool.acquire().await.unwrap();
    let erased = media::load(&mut conn, file.id).await.unwrap().unwrap();
    assert_eq!(
        (erased.state, erased.sha256.is_none()),
        (MediaState::Erased, true)
    );
    assert!(erased.erased_at.is_some());
    assert!(erased.object(&harness.deps.keyring).unwrap().is_none());
    assert_eq!(
        harness
            .count("select count(*) from pigeonhole.media where sealed_key is not null")
            .await,
        0
    );
}

#[tokio::test]
async fn without_retention_a_file_is_kept_until_its_message_ends_and_at_most_a_day() {
    let harness = MediaHarness::start().await;
    harness.stored().await;
    harness.keep(Duration::ZERO).await;
    assert_eq!(harness.files().len(), 1, "the message has not ended");
    harness
        .run("update pigeonhole.inbound_messages set state = 'processed', finished_at = now()")
        .await;
    harness.keep(Duration::ZERO).await;
    assert!(harness.files().is_empty());

    harness.stored().await;
    harness.run("update pigeonhole.media set stored_at = stored_at - interval '1 day' where state = 'stored'").await;
    harness.keep(Duration::ZERO).await;
    assert!(harness.files().is_empty());
}

#[tokio::test]
async fn a_message_can_erase_its_files_in_the_commit_that_ends_it() {
    let harness = MediaHarness::start().await;
    let (file, other) = (harness.stored().await, harness.stored().await);
    let mut tx = harness.database.pool.begin().await.unwrap();
    assert_eq!(
        media::erase_of_message(&mut tx, &file.message_sid)
            .await
            .unwrap(),
        1
    );
    drop(tx);
    harness.keep_up().await;
    assert_eq!(harness.files().len(), 2, "the transaction was rolled back");
    let mut tx = harness.database.pool.begin().await.unwrap();
    assert_eq!(
        media::erase_of_message(&mut tx, &file.message_sid)
            .await
            .unwrap(),
        1
    );
    tx.commit().await.unwrap();
    harness.keep_up().await;
    assert_eq!(harness.files().len(), 1);
    assert_eq!(harness.opened(&other).await.len(), 300_000);
}

#[tokio::test]
async fn an_upload_begun_a_day_ago_and_never_finished_is_abandoned() {
    let harness = MediaHarness::start().await;
    let message = harness
        .usual("image/jpeg", FileAnswer::File(jpeg(100)))
        .await;
    let mut conn = harness.database.pool.acquire().await.unwrap();
    let new = NewMedia {
        message_sid: message.sid().as_str(),
        user_id: message.user,
        position: 0,
        media_sid: None,
    };
    let begun = media::begin(&mut conn, &harness.deps.keyring, new)
        .await
        .unwrap();
    let media::MediaStart::Write(object) = begun else {
        panic!("{begun:?}")
    };
    let mut writer = harness.deps.media_store.create(&object).unwrap();
    writer.write(&jpeg(100)).await.unwrap();
    writer.finish().await.unwrap();
    harness
        .run("update pigeonhole.media set begun_at = begun_at - interval '23 hours'")
        .await;
    harness.keep_up().await;
    assert_eq!(harness.files().len(), 1);
    harness
        .run("update pigeonhole.media set begun_at = begun_at - interval '1 hour'")
        .await;
    harness.keep_up().await;
    assert!(harness.files().is_empty());
    // A requeued message starts a new upload.
    assert_eq!(harness.state(&message).await, MediaState::Stored);
}

#[tokio::test]
async fn orphaned_objects_are_deleted_within_a_day_and_no_other_objects_are() {
    let harness = MediaHarness::start().await;
    let file = harness.stored().await;
    // Objects left by a process that was killed during or after an upload.
    let namespace: String = sqlx::query_scalar("select name from pigeonhole.media_namespace")
        .fetch_one(&harness.database.pool)
        .await
        .unwrap();
    let shelf = harness
        .folder
        .path()
        .join("media")
        .join(&namespace)
        .join("ab");
    let strange = harness.folder.path().join("media/elsewhere/ab");
    for folder in [&shelf, &strange] {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("0123"), "orphan").unwrap();
        std::fs::write(folder.join("4567#1"), "cut off").unwrap();
    }
    harness.sweep().await;
    assert_eq!(harness.files().len(), 5, "all of it is new");
    harness.age_files();
    harness.sweep().await;
    assert_eq!(harness.opened(&file).await.len(), 300_000);
    assert_eq!(std::fs::read_dir(&shelf).unwrap().count(), 0);
    assert_eq!(
        std::fs::read_dir(&strange).unwrap().count(),
        2,
        "it is another database's"
    );
}

#[tokio::test]
async fn an_upload_interrupted_by_a_kill_is_deleted() {
    let harness = MediaHarness::start().await;
    let message = harness
        .usual("image/jpeg", FileAnswer::File(jpeg(100)))
        .await;
    let mut conn = harness.database.pool.acquire().await.unwrap();
    let new = NewMedia {
        message_sid: message.sid().as_str(),
        user_id: message.user,
        position: 0,
        media_sid: None,
    };
    let begun = media::begin(&mut conn, &harness.deps.keyring, new)
        .await
        .unwrap();
    let media::MediaStart::Write(object) = begun else {
        panic!("{begun:?}")
    };
    let mut writer = harness.deps.media_store.create(&object).unwrap();
    writer.write(&jpeg(2_000_000)).await.unwrap();
    std::mem::forget(writer); // as a kill does
    assert_eq!(harness.files().len(), 1);
    harness.age_files();
    harness.sweep().await;
    assert!(harness.files().is_empty());
}

#[tokio::test]
async fn garbage_that_cannot_be_deleted_blocks_no_other_garbage_and_is_retried() {
    let harness = MediaHarness::start().await;
    harness.run("insert into pigeonhole.media_garbage (object_key, queued_at) values ('a/b', now() - interval '1 hour')")
        .await;
    // A folder with the name of an object cannot be deleted as a file.
    std::fs::create_dir_all(harness.folder.path().join("media/a/b")).unwrap();
    harness.stored().await;
    harness.run("delete from pigeonhole.inbound_messages").await;
    let outcome = harness
        .outcome(&CleanupMediaFiles {}, harness.cleanup_deps(DAY))
        .await;
    assert!(matches!(outcome, JobOutcome::Retried { .. }), "{outcome:?}");
    assert!(harness.files().is_empty());
    assert_eq!(
        harness
            .count("select count(*) from pigeonhole.media_garbage")
            .await,
        1
    );
}

#[tokio::test]
async fn one_run_deletes_more_than_a_batch_of_garbage() {
    let harness = MediaHarness::start().await;
    harness.run("insert into pigeonhole.media_garbage (object_key) select 'x/' || n from generate_series(1, 2500) as n")
        .await;
    harness.keep_up().await;
    assert_eq!(
        harness
            .count("select count(*) from pigeonhole.media_garbage")
            .await,
        0
    );
}

#[tokio::test]
async fn twilio_is_asked_to_delete_each_file_until_it_does() {
    let harness = MediaHarness::start().await;
    let file = |bytes: &'static [u8]| vec![FileAnswer::File(bytes.into())];
    let message = harness
        .message(vec![
            ("image/jpeg", file(b"\xff\xd8\xff\xe0")),
            ("text/plain", file(b"hello")),
            ("image/jpeg", file(b"MZ")),
        ])
        .await;
    harness.ended(&message).await;
    let paths: Vec<String> = message
        .webhook
        .media()
        .iter()
        .map(|item| {
            let path = item.url.strip_prefix(&harness.api.url("")).unwrap();
            format!("{path}.json")
        })
        .collect();
    harness
        .api
        .answers(&paths[0], [FileAnswer::Status(204, None)]);
    harness
        .api
        .answers(&paths[1], [FileAnswer::Status(404, None)]);
    harness.api.answers(
        &paths[2],
        [FileAnswer::Status(503, None), FileAnswer::Status(204, None)],
    );
    let job = CleanupTwilioCopies {
        message: message.sid().clone(),
    };
    let before = harness.api.requests().len();
    let outcome = harness.outcome(&job, harness.cleanup_deps(DAY)).await;
    assert!(matches!(outcome, JobOutcome::Retried { .. }), "{outcome:?}");
    assert_eq!(
        harness.outcome(&job, harness.cleanup_deps(DAY)).await,
        JobOutcome::Completed
    );
    let asked = harness.api.requests().split_off(before);
    let deleted: Vec<_> = asked.iter().map(|asked| asked.path.clone()).collect();
    assert_eq!(
        deleted,
        [&paths[0], &paths[1], &paths[2], &paths[2]].map(Clone::clone)
    );
    assert!(asked.iter().all(|asked| asked.method == Method::DELETE));
    assert!(
        asked
            .iter()
            .all(|asked| asked.headers.contains_key(header::AUTHORIZATION))
    );
    let left = harness
        .count("select count(*) from pigeonhole.media where deleted_at_twilio is null")
        .await;
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_message_of_a_deleted_user_needs_no_deletion_at_twilio() {
    let harness = MediaHarness::start().await;
    let job = CleanupTwilioCopies {
        message: format!("MM{}", crate::settings::hex()).parse().unwrap(),
    };
    assert_eq!(
        harness.outcome(&job, harness.cleanup_deps(DAY)).await,
        JobOutcome::Completed
    );
    assert!(harness.api.requests().is_empty());
}
