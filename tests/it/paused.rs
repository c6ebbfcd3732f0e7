//! `SMS_ENRICHMENT_ENABLED=false`: messages are taken in and wait.

use pigeonhole::services::Role;

use crate::{app::TestApp, database::Database};

#[tokio::test]
async fn while_enrichment_is_off_messages_are_kept_and_afterwards_they_are_processed() {
    let off = Database::create()
        .await
        .with("SMS_ENRICHMENT_ENABLED", "false");
    let app = TestApp::on(off, Role::Both).await;
    let sid = app.deliver("Hello #later").await;
    // Meanwhile another worker, which looks for jobs as often, processes three messages one after the other.
    let control = TestApp::start().await;
    for _ in 0..3 {
        let sid = control.deliver("Hello").await;
        control.wait_until_ended(&sid).await;
    }
    let database = app.stop().await;
    assert_eq!(database.state(&sid).await.as_deref(), Some("received"));
    let attempts: i16 = sqlx::query_scalar("select attempts from queue.jobs")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(attempts, 0);

    let on = database.with("SMS_ENRICHMENT_ENABLED", "true");
    let app = TestApp::on(on, Role::Both).await;
    assert_eq!(app.wait_until_ended(&sid).await, "processed");
    assert_eq!(app.values(&sid).await, ["Hello #later", "later"]);
}
