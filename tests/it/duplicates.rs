//! A repeated webhook changes nothing.

use tokio::task::JoinSet;

use crate::{
    app::{TestApp, text},
    database::NUMBER,
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
