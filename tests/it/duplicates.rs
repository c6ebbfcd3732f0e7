//! A repeated webhook changes nothing.

use std::time::Duration;

use pigeonhole::services::Role;
use store::inbound_messages::{Acceptance, NewMessage, accept_all};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    app::{TestApp, text},
    commits_held::HoldingServer,
    database::{Database, NUMBER},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_delivered_twenty_times_at_once_and_again_later_has_one_effect() {
    let app = TestApp::start().await;
    let parameters = app.twilio.parameters(&text(NUMBER, "Met Ana #once"));
    let sid = parameters
        .iter()
        .find(|(name, _)| name == "MessageSid")
        .map(|(_, value)| value.clone())
        .unwrap();
    let deliver = || {
        let (twilio, sid, parameters) = (app.twilio.clone(), sid.clone(), parameters.clone());
        async move { twilio.post(sid, &parameters).await.unwrap().status }
    };

    let mut at_once = JoinSet::new();
    for _ in 0..20 {
        at_once.spawn(deliver());
    }
    assert_eq!(at_once.join_all().await, [200; 20]);
    assert_eq!(app.run_until_ended(&sid).await, "processed");
    app.drain().await;
    assert_eq!(app.values(&sid).await, ["Met Ana #once", "once"]);

    // The user has reviewed the items. A late repeat must not reset them.
    sqlx::query("update enrichment_items set accepted = true, applied = true")
        .execute(&app.pool)
        .await
        .unwrap();
    assert_eq!(deliver().await, 200);
    let rows = app.rows().await;
    assert_eq!((rows.messages, rows.items, rows.jobs), (1, 2, 0));
    let items = app.items(&sid).await;
    assert!(items.iter().all(|item| item.accepted && item.applied));

    let jobs_ever: i64 =
        sqlx::query_scalar("select last_value from pg_sequences where schemaname = 'queue'")
            .fetch_one(&app.pool)
            .await
            .unwrap();
    assert_eq!(jobs_ever, 1, "a repeat enqueued a job");
}

/// A standby that is promoted does not have a row that never reached it, even if the primary shows
/// the row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_webhook_waits_for_the_standby_as_the_first_one_did() {
    let mut holding = HoldingServer::start().await;
    let database = Database::create_on(&holding.server).await;
    let app = TestApp::on(database, Role::Receiver).await;
    app.leaves.live("process_message", 1);
    let parameters = app.twilio.parameters(&text(NUMBER, "Met Ana"));
    let deliver = async || {
        let delivery = app.twilio.post(String::new(), &parameters).await;
        delivery.unwrap().status
    };
    assert_eq!(deliver().await, 200);
    holding.lose_standby().await;
    assert_eq!(deliver().await, 503);
    holding.find_standby().await;
    assert_eq!(deliver().await, 200);
    let rows = app.rows().await;
    assert_eq!((rows.messages, rows.jobs), (1, 1));
}

#[tokio::test]
async fn several_repeated_messages_in_one_batch_wait_for_the_standby() {
    let mut holding = HoldingServer::start().await;
    let database = Database::create_on(&holding.server).await;
    let keyring = database.settings.keyring();
    let message = |n: u8| {
        let message = NewMessage {
            message_sid: format!("SM{n:032x}"),
            account_sid: format!("AC{n:032x}"),
            sender: NUMBER.to_owned(),
            fields: Vec::new(),
        };
        Acceptance {
            message: message.seal(&keyring).unwrap(),
            trace: None,
        }
    };
    let batch = [message(1), message(2), message(3)];
    let accept = async || {
        let mut conn = database.pool.acquire().await.unwrap();
        conn.close_on_drop();
        let accepted = timeout(Duration::from_secs(1), accept_all(&mut conn, &batch)).await;
        accepted.map(|new| new.unwrap().len())
    };
    assert_eq!(accept().await, Ok(3));
    holding.lose_standby().await;
    assert!(accept().await.is_err(), "it did not wait");
    holding.find_standby().await;
    assert_eq!(accept().await, Ok(0));
}
