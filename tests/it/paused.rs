//! `SMS_ENRICHMENT_ENABLED=false`: the receiver accepts messages, and they end without items.

use crate::{app::TestApp, database::Database};

#[tokio::test]
async fn while_enrichment_is_off_messages_end_without_items_and_use_no_rate_limit() {
    let off = Database::create()
        .await
        .with("SMS_ENRICHMENT_ENABLED", "false")
        .with("RATE_LIMIT_BURST", "1")
        .with("RATE_LIMIT_ACTION", "reject");
    let app = TestApp::start_on(off).await;
    for _ in 0..3 {
        let sid = app.deliver("Hello #never").await;
        assert_eq!(app.run_until_ended(&sid).await, "ignored_disabled");
        assert!(app.items(&sid).await.is_empty());
    }
    let on = app.stop().await.with("SMS_ENRICHMENT_ENABLED", "true");
    let app = TestApp::start_on(on).await;
    for (body, state) in [
        ("Hello #first", "processed"),
        ("Hello #second", "rate_limited"),
    ] {
        let sid = app.deliver(body).await;
        assert_eq!(app.run_until_ended(&sid).await, state);
    }
    assert_eq!(app.rows().await.dead, 0);
}
