//! A new key for personal data: values that the old key sealed are still found and opened.

use crate::{app::TestApp, settings::key};

#[tokio::test]
async fn after_a_key_rotation_linked_numbers_are_found_and_waiting_messages_can_be_opened() {
    let app = TestApp::receiver_only().await;
    let waiting = app.deliver("before the rotation").await;
    let database = app.stop().await;

    let old = database.settings.get("ENCRYPTION_KEY").to_owned();
    let rotated = database
        .with("ENCRYPTION_KEY", key())
        .with("ENCRYPTION_KEYS_OLD", old);
    let app = TestApp::start_on(rotated).await;
    assert_eq!(app.run_until_ended(&waiting).await, "processed");
    assert_eq!(app.values(&waiting).await, ["before the rotation"]);

    let later = app.deliver("after the rotation").await;
    assert_eq!(app.run_until_ended(&later).await, "processed");
    assert_eq!(app.values(&later).await, ["after the rotation"]);
}

#[tokio::test]
async fn a_message_waits_for_its_missing_key_and_is_not_lost() {
    let app = TestApp::receiver_only().await;
    let sid = app.deliver("sealed").await;
    let database = app.stop().await;
    let old = database.settings.get("ENCRYPTION_KEY").to_owned();

    let app = TestApp::start_on(database.with("ENCRYPTION_KEY", key())).await;
    app.drain().await;
    let error: Option<String> =
        sqlx::query_scalar("select errors -> -1 ->> 'error' from queue.jobs")
            .fetch_one(&app.pool)
            .await
            .unwrap();
    assert!(error.is_some_and(|error| error.contains("does not open")));
    let database = app.stop().await;
    assert_eq!(database.state(&sid).await.as_deref(), Some("received"));

    let app = TestApp::start_on(database.with("ENCRYPTION_KEYS_OLD", old)).await;
    assert_eq!(app.run_until_ended(&sid).await, "processed");
}
