//! Unlinking takes effect at once, also for received messages whose jobs wait or run.

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use store::{E164, sends, user_phone_numbers, users};
use uuid::Uuid;

use crate::{
    api::token_of,
    app::TestApp,
    database::NUMBER,
    process::Process,
    wait::{PATIENCE, eventually},
    webhook::client,
};

const PATH: &str = "/api/user/phone-number";

fn request(app: &TestApp, user: Uuid, method: Method, path: &str) -> RequestBuilder {
    let token = token_of(user, app.settings.get("JWT_SECRET"));
    let url = format!("http://{}{path}", app.receiver);
    client().request(method, url).bearer_auth(token)
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

/// Unlinks the user's number through the API.
async fn unlink(app: &TestApp, user: Uuid) {
    assert_eq!(status(request(app, user, Method::DELETE, PATH)).await, 204);
}

/// Makes another user link and verify the number.
async fn move_to_another(app: &TestApp, number: &str) -> Uuid {
    let user = Uuid::new_v4();
    let mut conn = app.pool.acquire().await.unwrap();
    users::ensure(&mut conn, user).await.unwrap();
    let body = json!({ "phoneNumber": number });
    let link = request(app, user, Method::POST, PATH).json(&body);
    assert_eq!(status(link).await, 201);
    let id: Uuid = sqlx::query_scalar("select id from pigeonhole.sends")
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    let keyring = app.settings.keyring();
    let send = sends::load(&mut conn, &keyring, id).await.unwrap().unwrap();
    let (_, text) = send.message.unwrap();
    let code: String = text.chars().filter(char::is_ascii_digit).take(6).collect();
    let body = json!({ "phoneNumber": number, "code": code });
    let verify = request(app, user, Method::POST, "/api/user/phone-number/verify");
    assert_eq!(status(verify.json(&body)).await, 200);
    user
}

/// Waits until the message's job is snoozed because a transaction is changing the user of its
/// number.
async fn wait_until_snoozed(app: &TestApp) {
    eventually("the job is snoozed", PATIENCE, async || {
        let query = "select not ready and locked_by is null from queue.jobs";
        let snoozed: bool = sqlx::query_scalar(query)
            .fetch_one(&app.pool)
            .await
            .unwrap();
        snoozed.then_some(())
    })
    .await;
}

/// Waits until a statement that contains this text waits for a lock.
async fn wait_for_lock_wait(app: &TestApp, statement: &str) {
    eventually("a statement waits for the lock", PATIENCE, async || {
        let found: Option<i32> = sqlx::query_scalar(
            "select pid from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock' and strpos(query, $1) > 0",
        )
        .bind(statement)
        .fetch_optional(&app.pool)
        .await
        .unwrap();
        found
    })
    .await;
}

async fn connect(app: &TestApp) -> PgConnection {
    PgConnection::connect(app.settings.get("DATABASE_URL"))
        .await
        .unwrap()
}

/// The users whom the items of a message belong to.
async fn owners(app: &TestApp, message_sid: &str) -> Vec<Uuid> {
    let items = app.items(message_sid).await;
    items.into_iter().map(|item| item.user_id).collect()
}

#[tokio::test]
async fn a_message_waiting_when_its_number_is_unlinked_creates_no_items() {
    let app = TestApp::receiver_only().await;
    let sid = app.deliver("Met Ana #early").await;
    unlink(&app, app.user).await;
    let _worker = Process::start("worker", &app.settings);
    assert_eq!(app.wait_until_ended(&sid).await, "ignored_unlinked");
    app.drain().await;
    let rows = app.rows().await;
    assert_eq!((rows.items, rows.jobs, rows.dead), (0, 0, 0));
}

#[tokio::test]
async fn a_message_whose_number_is_unlinked_during_processing_creates_no_items() {
    let app = TestApp::receiver_only().await;
    let sid = app.deliver("Met Ana #late").await;
    // Unlinks as the API does, without the commit. The worker still finds the number linked, and
    // snoozes the job until the transaction has ended.
    let mut unlinking = connect(&app).await;
    let mut tx = unlinking.begin().await.unwrap();
    let unlinked = user_phone_numbers::unlink_user(&mut tx, app.user).await;
    assert_eq!(unlinked.unwrap(), 1);
    let worker = Process::start("worker", &app.settings);
    wait_until_snoozed(&app).await;
    assert_eq!(app.state(&sid).await.as_deref(), Some("received"));
    tx.commit().await.unwrap();
    assert_eq!(app.wait_until_ended(&sid).await, "ignored_unlinked");
    app.drain().await;
    let rows = app.rows().await;
    assert_eq!((rows.items, rows.jobs, rows.dead), (0, 0, 0));
    drop(worker);
}

#[tokio::test]
async fn an_unlink_during_the_write_of_items_waits_until_they_are_written() {
    let app = TestApp::receiver_only().await;
    let sid = app.deliver("Met Ana #just").await;
    // A transaction that writes one of the items blocks the worker's statement after it has locked
    // the number.
    let mut blocker = connect(&app).await;
    let mut item = blocker.begin().await.unwrap();
    sqlx::query(
        "insert into enrichment_items
             (id, user_id, item_type, action, field_name, value, accepted, applied, status, source)
         values ($1, $2, 'tag', 'add', 'tag', '', false, false, 'pending', 'sms')",
    )
    .bind(store::enrichment_items::item_id(&sid, 0))
    .bind(app.user)
    .execute(&mut *item)
    .await
    .unwrap();
    let worker = Process::start("worker", &app.settings);
    wait_for_lock_wait(&app, "pigeonhole.finish_messages(").await;
    // The worker has read that the number is linked. The unlink must wait until the worker has
    // finished.
    let mut unlinking = connect(&app).await;
    let unlink = user_phone_numbers::unlink_user(&mut unlinking, app.user);
    let release = async {
        wait_for_lock_wait(&app, "delete from user_phone_numbers").await;
        assert!(app.items(&sid).await.is_empty());
        item.rollback().await.unwrap();
    };
    let (unlinked, ()) = tokio::join!(unlink, release);
    assert_eq!(unlinked.unwrap(), 1);
    assert_eq!(app.state(&sid).await.as_deref(), Some("processed"));
    assert_eq!(owners(&app, &sid).await, [app.user; 2]);
    drop(worker);
}

#[tokio::test]
async fn a_number_that_changes_its_user_keeps_old_items_and_creates_no_new_ones_for_the_previous_user()
 {
    let app = TestApp::receiver_only().await;
    let old = app.deliver("Met Ana #old").await;
    let worker = Process::start("worker", &app.settings);
    assert_eq!(app.wait_until_ended(&old).await, "processed");
    app.drain().await;
    worker.kill();
    let before = format!("{:?}", app.items(&old).await);

    let waiting = app.deliver("Met Ben #waiting").await;
    let new = move_to_another(&app, NUMBER).await;
    app.leaves.live("send_verification", 1); // no Twilio accepts it
    let _worker = Process::start("worker", &app.settings);
    // The previous user sent it. The new user gets no items of it either.
    assert_eq!(app.wait_until_ended(&waiting).await, "ignored_unlinked");
    assert!(app.items(&waiting).await.is_empty());
    let later = app.deliver("Met Cem #later").await;
    assert_eq!(app.wait_until_ended(&later).await, "processed");
    assert_eq!(owners(&app, &later).await, [new; 2]);
    assert_eq!(owners(&app, &old).await, [app.user; 2]);
    assert_eq!(format!("{:?}", app.items(&old).await), before);
}

#[tokio::test]
async fn a_number_that_changes_its_user_during_processing_creates_no_items_for_the_previous_user() {
    let app = TestApp::receiver_only().await;
    let new = Uuid::new_v4();
    let sid = app.deliver("Met Ana #between").await;
    let mut conn = connect(&app).await;
    users::ensure(&mut conn, new).await.unwrap();
    let mut tx = conn.begin().await.unwrap();
    let (keyring, number) = (app.settings.keyring(), E164::parse(NUMBER).unwrap());
    let proved = user_phone_numbers::prove(&mut tx, &keyring, new, &number).await;
    proved.unwrap();
    let _worker = Process::start("worker", &app.settings);
    wait_until_snoozed(&app).await;
    tx.commit().await.unwrap();
    app.wait_until_ended(&sid).await;
    assert!(app.items(&sid).await.is_empty());
}
