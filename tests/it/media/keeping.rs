//! What remains if an attempt dies or is overtaken, or if its user is deleted.

use store::{
    StoreError,
    media::{self, Media, MediaObject, MediaStart, MediaState, NewMedia, media_id},
};

use super::{
    file_server::FileAnswer,
    harness::{MediaHarness, StoredMessage, jpeg},
};
use jobs::StepError;

/// Begins to store the message's first file, as an attempt does.
async fn begin(harness: &MediaHarness, message: &StoredMessage) -> MediaObject {
    let mut conn = harness.database.pool.acquire().await.unwrap();
    let new = NewMedia {
        message_sid: message.sid().as_str(),
        user_id: message.user,
        position: 0,
        media_sid: None,
    };
    match media::begin(&mut conn, &harness.deps.keyring, new)
        .await
        .unwrap()
    {
        MediaStart::Write(object) => object,
        MediaStart::Ended(media) => panic!("{media:?}"),
    }
}

async fn load(harness: &MediaHarness, message: &StoredMessage) -> Option<Media> {
    let mut conn = harness.database.pool.acquire().await.unwrap();
    let id = media_id(message.sid().as_str(), 0);
    media::load(&mut conn, id).await.unwrap()
}

#[tokio::test]
async fn an_attempt_that_dies_after_writing_its_row_is_repeated() {
    let harness = MediaHarness::start().await;
    let message = harness
        .usual("image/jpeg", FileAnswer::File(jpeg(500_000)))
        .await;
    begin(&harness, &message).await;
    assert_eq!(
        load(&harness, &message).await.unwrap().state,
        MediaState::Storing
    );
    assert_eq!(harness.state(&message).await, MediaState::Stored);
    assert_eq!(
        harness
            .count("select count(*) from pigeonhole.media_garbage")
            .await,
        1
    );
    assert_eq!(harness.files().len(), 1);
}

#[tokio::test]
async fn an_attempt_that_dies_after_writing_its_object_is_repeated_and_the_object_becomes_garbage()
{
    let harness = MediaHarness::start().await;
    let file = jpeg(500_000);
    let message = harness
        .usual("image/jpeg", FileAnswer::File(file.clone()))
        .await;
    let object = begin(&harness, &message).await;
    let mut writer = harness.deps.media_store.create(&object).unwrap();
    writer.write(&file).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(harness.files().len(), 1);

    let media = harness.ended(&message).await;
    assert!(harness.opened(&media[0]).await == file);
    assert_eq!(harness.files().len(), 2);
    harness.keep_up().await;
    assert_eq!(harness.files().len(), 1);
    assert!(harness.opened(&media[0]).await == file);
}

#[tokio::test]
async fn of_two_concurrent_attempts_one_stores_the_file() {
    let harness = MediaHarness::start().await;
    let file = jpeg(1_000_000);
    let message = harness
        .usual("image/jpeg", FileAnswer::File(file.clone()))
        .await;
    let (one, other) = tokio::join!(harness.download(&message), harness.download(&message));
    let kept = [one, other].into_iter().filter_map(Result::ok).count();
    assert!(kept >= 1);
    let media = harness.ended(&message).await;
    assert!(harness.opened(&media[0]).await == file);
    harness.keep_up().await;
    assert_eq!(harness.files().len(), 1);
    assert!(harness.opened(&media[0]).await == file);
}

#[tokio::test]
async fn an_overtaken_attempt_changes_nothing() {
    let harness = MediaHarness::start().await;
    let message = harness
        .usual("image/jpeg", FileAnswer::File(jpeg(100)))
        .await;
    let old = begin(&harness, &message).await;
    let media = harness.ended(&message).await;
    let mut conn = harness.database.pool.acquire().await.unwrap();
    for refused in [
        media::refused(&mut conn, &old, media::Refusal::TooLarge)
            .await
            .unwrap(),
        media::gone(&mut conn, &old).await.unwrap(),
        media::stored(
            &mut conn,
            &old,
            &media::FileFacts {
                content_type: "image/png",
                bytes: 1,
                sha256: [0; 32],
                dimensions: None,
            },
        )
        .await
        .unwrap(),
    ] {
        assert!(!refused);
    }
    let now = load(&harness, &message).await.unwrap();
    assert_eq!(now.state, MediaState::Stored);
    assert_eq!(now.sha256, media[0].sha256);
}

#[tokio::test]
async fn an_object_can_be_opened_only_for_its_own_row() {
    let harness = MediaHarness::start().await;
    let mut stored = Vec::new();
    for length in [100, 200] {
        let message = harness
            .usual("image/jpeg", FileAnswer::File(jpeg(length)))
            .await;
        stored.push(harness.ended(&message).await.remove(0));
    }
    harness.run(
        "update pigeonhole.media as m set sealed_key = o.sealed_key, object_key = o.object_key || 'x'
         from pigeonhole.media as o where o.id <> m.id",
    )
    .await;
    let mut conn = harness.database.pool.acquire().await.unwrap();
    let moved = media::load(&mut conn, stored[0].id).await.unwrap().unwrap();
    let error = moved.object(&harness.deps.keyring).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
}

#[tokio::test]
async fn deleting_a_user_removes_all_their_rows_and_files() {
    let harness = MediaHarness::start().await;
    let mut theirs = harness
        .message(vec![
            ("image/jpeg", vec![FileAnswer::File(jpeg(400_000))]),
            ("image/jpeg", vec![FileAnswer::File(jpeg(100))]),
            ("image/jpeg", vec![FileAnswer::File(b"?".as_slice().into())]),
        ])
        .await;
    theirs.user = harness.another_user().await;
    harness.ended(&theirs).await;
    let mut dying = harness
        .usual("image/jpeg", FileAnswer::File(jpeg(100)))
        .await;
    dying.user = theirs.user;
    let object = begin(&harness, &dying).await;
    let mut writer = harness.deps.media_store.create(&object).unwrap();
    writer.write(&jpeg(100)).await.unwrap();
    writer.finish().await.unwrap();
    let others = harness
        .usual("image/jpeg", FileAnswer::File(jpeg(300)))
        .await;
    let others = harness.ended(&others).await;
    assert_eq!(harness.files().len(), 4);

    sqlx::query("delete from users where id = $1")
        .bind(theirs.user)
        .execute(&harness.database.pool)
        .await
        .unwrap();
    assert_eq!(
        harness.count("select count(*) from pigeonhole.media").await,
        1
    );
    harness.keep_up().await;
    assert_eq!(harness.files().len(), 1);
    assert_eq!(
        harness
            .count("select count(*) from pigeonhole.media_garbage")
            .await,
        0
    );
    assert_eq!(harness.opened(&others[0]).await.len(), 300);
    // A running attempt finds that its user is deleted.
    let error = harness.download(&dying).await.unwrap_err();
    assert!(
        matches!(error, StepError::Store(StoreError::UserGone { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_user_deleted_during_a_download_leaves_nothing() {
    let harness = MediaHarness::start().await;
    let mut message = harness
        .usual("image/jpeg", FileAnswer::File(jpeg(3_000_000)))
        .await;
    message.user = harness.another_user().await;
    let object = begin(&harness, &message).await;
    let mut writer = harness.deps.media_store.create(&object).unwrap();
    writer.write(&jpeg(2_000_000)).await.unwrap();
    sqlx::query("delete from users where id = $1")
        .bind(message.user)
        .execute(&harness.database.pool)
        .await
        .unwrap();
    harness.keep_up().await; // before the object is even there
    writer.finish().await.unwrap();
    let mut conn = harness.database.pool.acquire().await.unwrap();
    assert!(!media::gone(&mut conn, &object).await.unwrap());
    assert_eq!(harness.files().len(), 1, "an orphan");
    harness.age_files();
    harness.sweep().await;
    assert!(harness.files().is_empty());
}

#[tokio::test]
async fn deleting_a_message_removes_all_its_rows_and_files() {
    let harness = MediaHarness::start().await;
    let message = harness
        .usual("image/jpeg", FileAnswer::File(jpeg(100)))
        .await;
    harness.ended(&message).await;
    harness.run("delete from pigeonhole.inbound_messages").await;
    harness.keep_up().await;
    assert_eq!(
        harness.count("select count(*) from pigeonhole.media").await,
        0
    );
    assert!(harness.files().is_empty());
}
