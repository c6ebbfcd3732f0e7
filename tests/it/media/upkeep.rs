//! What is scheduled: retention, garbage, orphans, and deletion at Twilio.

use std::{
    fs::File,
    time::{Duration, SystemTime},
};

use axum::http::{Method, header};
use jobs::{DeleteAtTwilio, MediaSweep, MediaUpkeep};
use queue::{
    Job,
    testing::{Outcome, TestQueue},
};
use store::media::{self, MediaState, NewMedia};

use super::rig::{Answer, Rig, jpeg};

const DAY: Duration = Duration::from_hours(24);

impl Rig {
    async fn outcome<J: Job>(&self, job: &J, deps: J::Deps) -> Outcome {
        let queue = TestQueue::new(self.database.pool.clone()).register::<J>(deps);
        let mut conn = self.database.pool.acquire().await.unwrap();
        queue::enqueue(&mut conn, job).await.unwrap();
        queue.run_one().await.unwrap().outcome
    }

    /// Runs the upkeep, with a retention of 30 days.
    pub(crate) async fn keep_up(&self) {
        self.keep(30 * DAY).await;
    }

    async fn keep(&self, retention: Duration) {
        let outcome = self.outcome(&MediaUpkeep {}, self.upkeep(retention)).await;
        assert_eq!(outcome, Outcome::Completed);
    }

    pub(crate) async fn sweep(&self) {
        let outcome = self.outcome(&MediaSweep {}, self.upkeep(30 * DAY)).await;
        assert_eq!(outcome, Outcome::Completed);
    }

    /// Everything in the folder was written a day ago.
    #[expect(clippy::disallowed_methods, reason = "the clock of the folder")]
    pub(crate) fn age_files(&self) {
        for file in self.files() {
            let file = File::options().write(true).open(file).unwrap();
            file.set_modified(SystemTime::now() - DAY).unwrap();
        }
    }

    async fn stored(&self) -> media::Media {
        let message = self.usual("image/jpeg", Answer::File(jpeg(300_000))).await;
        self.ended(&message).await.remove(0)
    }
}

#[tokio::test]
async fn a_file_is_erased_when_its_time_is_over_and_not_before() {
    let rig = Rig::start().await;
    rig.run("insert into users default values").await;
    let file = rig.stored().await;
    rig.run("update pigeonhole.media set stored_at = stored_at - interval '29 days 23 hours'")
        .await;
    rig.keep_up().await;
    assert_eq!(rig.opened(&file).await.len(), 300_000);

    rig.run("update pigeonhole.media set stored_at = stored_at - interval '1 hour'")
        .await;
    rig.keep_up().await;
    assert!(rig.files().is_empty());
    let mut conn = rig.database.pool.acquire().await.unwrap();
    let erased = media::load(&mut conn, file.id).await.unwrap().unwrap();
    assert_eq!(
        (erased.state, erased.sha256.is_none()),
        (MediaState::Erased, true)
    );
    assert!(erased.erased_at.is_some());
    assert!(erased.object(&rig.deps.deps.keyring).unwrap().is_none());
    assert_eq!(
        rig.count("select count(*) from pigeonhole.media where sealed_key is not null")
            .await,
        0
    );
}

#[tokio::test]
async fn without_retention_a_file_lasts_until_its_message_has_ended_and_a_day_at_most() {
    let rig = Rig::start().await;
    rig.stored().await;
    rig.keep(Duration::ZERO).await;
    assert_eq!(rig.files().len(), 1, "its message is not done with it");
    rig.run("update pigeonhole.inbound_messages set state = 'processed', finished_at = now()")
        .await;
    rig.keep(Duration::ZERO).await;
    assert!(rig.files().is_empty());

    rig.stored().await;
    rig.run("update pigeonhole.media set stored_at = stored_at - interval '1 day' where state = 'stored'").await;
    rig.keep(Duration::ZERO).await;
    assert!(rig.files().is_empty());
}

#[tokio::test]
async fn a_message_that_is_done_with_its_files_can_erase_them_in_its_own_commit() {
    let rig = Rig::start().await;
    let (file, other) = (rig.stored().await, rig.stored().await);
    let mut tx = rig.database.pool.begin().await.unwrap();
    assert_eq!(
        media::erase_of_message(&mut tx, &file.message_sid)
            .await
            .unwrap(),
        1
    );
    drop(tx);
    rig.keep_up().await;
    assert_eq!(rig.files().len(), 2, "it was rolled back");
    let mut tx = rig.database.pool.begin().await.unwrap();
    assert_eq!(
        media::erase_of_message(&mut tx, &file.message_sid)
            .await
            .unwrap(),
        1
    );
    tx.commit().await.unwrap();
    rig.keep_up().await;
    assert_eq!(rig.files().len(), 1);
    assert_eq!(rig.opened(&other).await.len(), 300_000);
}

#[tokio::test]
async fn an_object_that_was_begun_a_day_ago_and_never_ended_is_given_up() {
    let rig = Rig::start().await;
    let message = rig.usual("image/jpeg", Answer::File(jpeg(100))).await;
    let mut conn = rig.database.pool.acquire().await.unwrap();
    let new = NewMedia {
        message_sid: message.sid().as_str(),
        user_id: message.user,
        position: 0,
        media_sid: None,
    };
    let begun = media::begin(&mut conn, &rig.deps.deps.keyring, new)
        .await
        .unwrap();
    let media::Begun::Write(object) = begun else {
        panic!("{begun:?}")
    };
    let mut writer = rig.deps.store.create(&object).unwrap();
    writer.write(&jpeg(100)).await.unwrap();
    writer.finish().await.unwrap();
    rig.run("update pigeonhole.media set begun_at = begun_at - interval '23 hours'")
        .await;
    rig.keep_up().await;
    assert_eq!(rig.files().len(), 1);
    rig.run("update pigeonhole.media set begun_at = begun_at - interval '1 hour'")
        .await;
    rig.keep_up().await;
    assert!(rig.files().is_empty());
    // Whoever requeues its message starts anew.
    assert_eq!(rig.state(&message).await, MediaState::Stored);
}

#[tokio::test]
async fn what_no_row_knows_goes_within_a_day_and_nothing_else_does() {
    let rig = Rig::start().await;
    let file = rig.stored().await;
    // What a process leaves that is killed while it uploads, and after it has.
    let namespace: String = sqlx::query_scalar("select name from pigeonhole.media_namespace")
        .fetch_one(&rig.database.pool)
        .await
        .unwrap();
    let shelf = rig.folder.path().join("media").join(&namespace).join("ab");
    let strange = rig.folder.path().join("media/elsewhere/ab");
    for folder in [&shelf, &strange] {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("0123"), "orphan").unwrap();
        std::fs::write(folder.join("4567#1"), "cut off").unwrap();
    }
    rig.sweep().await;
    assert_eq!(rig.files().len(), 5, "all of it is new");
    rig.age_files();
    rig.sweep().await;
    assert_eq!(rig.opened(&file).await.len(), 300_000);
    assert_eq!(std::fs::read_dir(&shelf).unwrap().count(), 0);
    assert_eq!(
        std::fs::read_dir(&strange).unwrap().count(),
        2,
        "it is another database's"
    );
}

#[tokio::test]
async fn an_upload_that_is_cut_off_by_a_kill_is_swept() {
    let rig = Rig::start().await;
    let message = rig.usual("image/jpeg", Answer::File(jpeg(100))).await;
    let mut conn = rig.database.pool.acquire().await.unwrap();
    let new = NewMedia {
        message_sid: message.sid().as_str(),
        user_id: message.user,
        position: 0,
        media_sid: None,
    };
    let begun = media::begin(&mut conn, &rig.deps.deps.keyring, new)
        .await
        .unwrap();
    let media::Begun::Write(object) = begun else {
        panic!("{begun:?}")
    };
    let mut writer = rig.deps.store.create(&object).unwrap();
    writer.write(&jpeg(2_000_000)).await.unwrap();
    std::mem::forget(writer); // as a kill does
    assert_eq!(rig.files().len(), 1);
    rig.age_files();
    rig.sweep().await;
    assert!(rig.files().is_empty());
}

#[tokio::test]
async fn garbage_that_cannot_be_deleted_holds_up_no_other_and_is_tried_again() {
    let rig = Rig::start().await;
    rig.run("insert into pigeonhole.media_garbage (object_key, queued_at) values ('a/b', now() - interval '1 hour')")
        .await;
    // A folder where a file should be.
    std::fs::create_dir_all(rig.folder.path().join("media/a/b")).unwrap();
    rig.stored().await;
    rig.run("delete from pigeonhole.inbound_messages").await;
    let outcome = rig.outcome(&MediaUpkeep {}, rig.upkeep(DAY)).await;
    assert!(matches!(outcome, Outcome::Retried { .. }), "{outcome:?}");
    assert!(rig.files().is_empty());
    assert_eq!(
        rig.count("select count(*) from pigeonhole.media_garbage")
            .await,
        1
    );
}

#[tokio::test]
async fn garbage_of_more_than_a_batch_goes_in_one_run() {
    let rig = Rig::start().await;
    rig.run("insert into pigeonhole.media_garbage (object_key) select 'x/' || n from generate_series(1, 2500) as n")
        .await;
    rig.keep_up().await;
    assert_eq!(
        rig.count("select count(*) from pigeonhole.media_garbage")
            .await,
        0
    );
}

#[tokio::test]
async fn twilio_is_asked_to_delete_each_file_until_it_has() {
    let rig = Rig::start().await;
    let file = |bytes: &'static [u8]| vec![Answer::File(bytes.into())];
    let message = rig
        .message(vec![
            ("image/jpeg", file(b"\xff\xd8\xff\xe0")),
            ("text/plain", file(b"hello")),
            ("image/jpeg", file(b"MZ")),
        ])
        .await;
    rig.ended(&message).await;
    let paths: Vec<String> = message
        .webhook
        .media()
        .iter()
        .map(|item| {
            let path = item.url.strip_prefix(&rig.api.url("")).unwrap();
            format!("{path}.json")
        })
        .collect();
    rig.api.answers(&paths[0], [Answer::Status(204, None)]);
    rig.api.answers(&paths[1], [Answer::Status(404, None)]);
    rig.api.answers(
        &paths[2],
        [Answer::Status(503, None), Answer::Status(204, None)],
    );
    let job = DeleteAtTwilio {
        message: message.sid().clone(),
    };
    let before = rig.api.asked().len();
    let outcome = rig.outcome(&job, rig.deps.clone()).await;
    assert!(matches!(outcome, Outcome::Retried { .. }), "{outcome:?}");
    assert_eq!(
        rig.outcome(&job, rig.deps.clone()).await,
        Outcome::Completed
    );
    let asked = rig.api.asked().split_off(before);
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
    let left = rig
        .count("select count(*) from pigeonhole.media where deleted_at_twilio is null")
        .await;
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_message_of_a_user_who_is_gone_needs_no_deletion_at_twilio() {
    let rig = Rig::start().await;
    let job = DeleteAtTwilio {
        message: format!("MM{}", crate::settings::hex()).parse().unwrap(),
    };
    assert_eq!(
        rig.outcome(&job, rig.deps.clone()).await,
        Outcome::Completed
    );
    assert!(rig.api.asked().is_empty());
}
