//! Files that are not to be kept: what a user, an operator or time takes away.

use std::time::Duration;

use jobs::MediaUpkeep;
use pigeonhole::services::Role;

use super::{Rig, mms};
use crate::{
    app::TestApp,
    wait::{PATIENCE, eventually},
};

async fn wait_until_deleted_at_twilio(rig: &Rig, files: usize) {
    eventually("Twilio has deleted them", PATIENCE, async || {
        (rig.api.deleted_media().len() == files).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_deleted_user_leaves_no_row_and_no_file() {
    let rig = Rig::start().await;
    rig.process("Keep this", &["image/jpeg", "audio/ogg"]).await;
    assert_eq!(rig.objects(), 2);
    sqlx::query("delete from users where id = $1")
        .bind(rig.app.user)
        .execute(&rig.app.pool)
        .await
        .unwrap();
    rig.keep_up(0).await;
    rig.app.wait_until_idle().await;
    let left: i64 = sqlx::query_scalar(
        "select (select count(*) from pigeonhole.media) + (select count(*) from pigeonhole.media_garbage)
             + (select count(*) from enrichment_items)",
    )
    .fetch_one(&rig.app.pool)
    .await
    .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_user_who_goes_while_a_file_is_waited_for_leaves_nothing_and_no_dead_letter() {
    let rig = Rig::start().await;
    rig.api.delay_media(2);
    let sid = rig
        .app
        .deliver_text(&mms("Wait", &["image/gif", "image/png"]))
        .await;
    eventually("it is asked for", PATIENCE, async || {
        (rig.api.requests().media > 0).then_some(())
    })
    .await;
    sqlx::query("delete from users where id = $1")
        .bind(rig.app.user)
        .execute(&rig.app.pool)
        .await
        .unwrap();
    assert_eq!(rig.app.wait_until_ended(&sid).await, "ignored_unlinked");
    assert!(rig.rows(&sid).await.is_empty());
    rig.keep_up(0).await;
    assert_eq!(rig.app.rows().await.dead, 0);
}

#[tokio::test]
async fn without_retention_files_go_once_their_message_is_processed() {
    let rig = Rig::with(|database| database.with("MEDIA_RETENTION_DAYS", "0")).await;
    let sid = rig.process("Look", &["image/jpeg", "text/vcard"]).await;
    eventually("they are erased", PATIENCE, async || {
        let states = rig.states(&sid).await;
        (states == ["erased", "erased"]).then_some(())
    })
    .await;
    rig.keep_up(0).await;
    let items = rig.items(&sid).await;
    assert!(
        items.iter().any(|item| item.value.contains("Ana Example")),
        "the card was read before"
    );
}

#[tokio::test]
async fn twilio_is_told_to_delete_the_files_of_a_processed_message_where_that_is_wanted() {
    let rig = Rig::with(|database| database.with("DELETE_MEDIA_AT_TWILIO", "true")).await;
    let kinds = ["image/jpeg", "application/zip", "text/plain"];
    let sid = rig.process("Look", &kinds).await;
    wait_until_deleted_at_twilio(&rig, 3).await;
    rig.app.wait_until_idle().await;
    assert!(rig.rows(&sid).await.iter().all(|row| row.deleted_at_twilio));
    assert_eq!(rig.objects(), 1, "ours is kept");

    let rig = Rig::start().await;
    rig.process("Look", &kinds).await;
    rig.app.wait_until_idle().await;
    assert!(rig.api.deleted_media().is_empty());
}

#[tokio::test]
async fn what_a_worker_left_undone_that_died_after_a_messages_end_is_done_later() {
    let rig = Rig::start().await;
    let sid = rig.process("Look", &["image/jpeg", "image/png"]).await;
    // As if it had died before it could enqueue the deletion. Its successor is told to delete.
    let Rig { app, api, folder } = rig;
    let database = app.stop().await.with("DELETE_MEDIA_AT_TWILIO", "true");
    let app = TestApp::on(database, Role::Both).await;
    let rig = Rig { app, api, folder };
    let keep_up = async || {
        let mut conn = rig.app.pool.acquire().await.unwrap();
        queue::enqueue(&mut conn, &MediaUpkeep {}).await.unwrap();
        rig.app.wait_until_idle().await;
    };
    keep_up().await;
    assert!(
        rig.api.deleted_media().is_empty(),
        "its own worker may be about to do it"
    );
    sqlx::query(
        "update pigeonhole.inbound_messages set finished_at = finished_at - interval '1 hour'",
    )
    .execute(&rig.app.pool)
    .await
    .unwrap();
    keep_up().await;
    wait_until_deleted_at_twilio(&rig, 2).await;
    tokio::time::timeout(Duration::from_secs(10), rig.app.wait_until_idle())
        .await
        .unwrap();
    assert!(rig.rows(&sid).await.iter().all(|row| row.deleted_at_twilio));
}
