//! Files are deleted: with their user, by an operator, or after their retention.

use jobs::CleanupMediaFiles;

use super::{MmsHarness, mms};
use crate::app::TestApp;

#[tokio::test]
async fn a_deleted_user_leaves_no_row_and_no_file() {
    let harness = MmsHarness::start().await;
    harness
        .process("Keep this", &["image/jpeg", "audio/ogg"])
        .await;
    assert_eq!(harness.objects(), 2);
    sqlx::query("delete from users where id = $1")
        .bind(harness.app.user)
        .execute(&harness.app.pool)
        .await
        .unwrap();
    harness.keep_up(0).await;
    harness.app.drain().await;
    let left: i64 = sqlx::query_scalar(
        "select (select count(*) from pigeonhole.media) + (select count(*) from pigeonhole.media_garbage)
             + (select count(*) from enrichment_items)",
    )
    .fetch_one(&harness.app.pool)
    .await
    .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_user_deleted_while_a_file_is_awaited_leaves_nothing_and_no_dead_letter() {
    let harness = MmsHarness::start().await;
    harness.api.delay_media(2);
    let sid = harness
        .app
        .deliver_text(&mms("Wait", &["image/gif", "image/png"]))
        .await;
    harness.app.drain().await;
    assert!(harness.api.requests().media > 0);
    sqlx::query("delete from users where id = $1")
        .bind(harness.app.user)
        .execute(&harness.app.pool)
        .await
        .unwrap();
    assert_eq!(harness.app.run_until_ended(&sid).await, "ignored_unlinked");
    assert!(harness.rows(&sid).await.is_empty());
    harness.keep_up(0).await;
    assert_eq!(harness.app.rows().await.dead, 0);
}

#[tokio::test]
async fn without_retention_files_are_erased_after_their_message_is_processed() {
    let harness = MmsHarness::with(|database| database.with("MEDIA_RETENTION_DAYS", "0")).await;
    let sid = harness.process("Look", &["image/jpeg", "text/vcard"]).await;
    assert_eq!(harness.states(&sid).await, ["erased", "erased"]);
    harness.keep_up(0).await;
    let items = harness.items(&sid).await;
    assert!(
        items.iter().any(|item| item.value.contains("Ana Example")),
        "the card was read before"
    );
}

#[tokio::test]
async fn twilio_deletes_the_files_of_a_processed_message_if_configured() {
    let harness =
        MmsHarness::with(|database| database.with("DELETE_MEDIA_AT_TWILIO", "true")).await;
    let kinds = ["image/jpeg", "application/zip", "text/plain"];
    let sid = harness.process("Look", &kinds).await;
    harness.app.drain().await;
    assert_eq!(harness.api.deleted_media().len(), 3);
    assert!(
        harness
            .rows(&sid)
            .await
            .iter()
            .all(|row| row.deleted_at_twilio)
    );
    assert_eq!(harness.objects(), 1, "our copy is kept");

    let harness = MmsHarness::start().await;
    harness.process("Look", &kinds).await;
    harness.app.drain().await;
    assert!(harness.api.deleted_media().is_empty());
}

#[tokio::test]
async fn work_left_by_a_worker_that_died_after_a_messages_end_is_done_later() {
    let harness = MmsHarness::start().await;
    let sid = harness.process("Look", &["image/jpeg", "image/png"]).await;
    // As if the worker had died before it could enqueue the deletion. Its successor is configured
    // to delete.
    let MmsHarness { app, api, folder } = harness;
    let database = app.stop().await.with("DELETE_MEDIA_AT_TWILIO", "true");
    let app = TestApp::start_on(database).await;
    let harness = MmsHarness { app, api, folder };
    let keep_up = async || {
        let mut conn = harness.app.pool.acquire().await.unwrap();
        queue::enqueue(&mut conn, &CleanupMediaFiles {})
            .await
            .unwrap();
        harness.app.drain().await;
    };
    keep_up().await;
    assert!(
        harness.api.deleted_media().is_empty(),
        "its own worker may be about to do it"
    );
    sqlx::query(
        "update pigeonhole.inbound_messages set finished_at = finished_at - interval '1 hour'",
    )
    .execute(&harness.app.pool)
    .await
    .unwrap();
    keep_up().await;
    harness.app.drain().await;
    assert_eq!(harness.api.deleted_media().len(), 2);
    assert!(
        harness
            .rows(&sid)
            .await
            .iter()
            .all(|row| row.deleted_at_twilio)
    );
}
