//! What was erased never comes back: with its user, by retention, at Twilio.

use std::time::Duration;

use super::RecoveryHarness;
use crate::{app::text, database::NUMBER};

const AGO: Duration = Duration::from_mins(10);

impl RecoveryHarness {
    async fn delete_user(&self) {
        sqlx::query("delete from users where id = $1")
            .bind(self.app.user)
            .execute(&self.app.pool)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn the_messages_of_a_deleted_user_never_come_back() {
    let harness = RecoveryHarness::start().await;
    let recovered = harness.lose("Met Ana", AGO).await;
    harness.recover().await;
    let delivered = harness.app.deliver_text(&text(NUMBER, "Met Bo")).await;
    harness.queue.drain().await;
    assert_eq!(harness.app.rows().await.messages, 2);
    harness.delete_user().await;
    // By recovery, in which Twilio lists both of them; and by late webhooks.
    harness.recover().await;
    assert_eq!(harness.app.rows().await.messages, 0);
    for taken in harness.api.received() {
        assert!([&recovered, &delivered].contains(&&taken.sid));
        let late = harness.app.twilio.post(taken.sid, &taken.parameters).await;
        assert_eq!(late.unwrap().status, 200);
    }
    harness.recover().await;
    let rows = harness.app.rows().await;
    assert_eq!((rows.messages, rows.items, rows.jobs), (0, 0, 0));
    let remembered = "select count(*) from pigeonhole.erased_messages";
    assert_eq!(harness.count(remembered).await, 2);
}

#[tokio::test]
async fn a_text_that_retention_has_erased_does_not_come_back() {
    let harness = RecoveryHarness::with(|d| d.with("MESSAGE_RETENTION_DAYS", "0")).await;
    harness.lose("Met Ana", AGO).await;
    harness.recover().await;
    let mut conn = harness.app.pool.acquire().await.unwrap();
    queue::enqueue(&mut conn, &jobs::CleanupMessageBodies {})
        .await
        .unwrap();
    drop(conn);
    harness.queue.drain().await;
    let sealed = "select count(*) from pigeonhole.inbound_messages where sealed is not null";
    assert_eq!(harness.count(sealed).await, 0);
    harness.recover().await;
    assert_eq!(harness.count(sealed).await, 0);
    assert_eq!(harness.app.rows().await.items, 1);
}

#[tokio::test]
async fn what_was_deleted_or_redacted_at_twilio_does_not_come_back() {
    let harness = RecoveryHarness::start().await;
    let deleted = harness.lose("a secret", AGO).await;
    let redacted = harness.lose("a secret", AGO).await;
    let kept = harness.lose("no secret", AGO).await;
    // The alerts still have the texts of both.
    assert!(harness.api.delete(&deleted));
    assert!(harness.api.redact(&redacted));
    harness.recover().await;
    let messages = harness.messages().await;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].0, kept);
    let reasons: Vec<(String, String)> =
        sqlx::query_as("select message_sid, reason from pigeonhole.unrecoverable_messages")
            .fetch_all(&harness.app.pool)
            .await
            .unwrap();
    assert_eq!(reasons, [(redacted.clone(), "redacted".to_owned())]);
    // It is reported once, and its webhook would still be accepted.
    let report = harness.report(jobs::LookScope::default()).await.unwrap();
    assert!(report.messages.is_empty(), "{report:?}");
    let taken = harness.api.received().into_iter();
    let taken = taken.filter(|text| text.sid == redacted);
    for text in taken {
        let late = harness.app.twilio.post(text.sid, &text.parameters).await;
        assert_eq!(late.unwrap().status, 200);
    }
    harness.queue.drain().await;
    assert_eq!(harness.app.rows().await.messages, 2);
}

#[tokio::test]
async fn a_redacted_text_with_files_comes_back_without_its_text() {
    let harness = RecoveryHarness::start().await;
    let lost = twilio_simulator::InboundText {
        media: vec!["image/png".to_owned()],
        ..text(NUMBER, "a secret")
    };
    let sid = harness.lose_text(&lost, AGO).await;
    assert!(harness.api.redact(&sid));
    harness.recover().await;
    assert_eq!(harness.source(&sid).await.as_deref(), Some("list"));
    assert_eq!(harness.app.state(&sid).await.as_deref(), Some("processed"));
    let items = harness.app.items(&sid).await;
    let shown = format!("{items:?}");
    assert!(!shown.contains("a secret"), "{shown}");
}
