//! A failover to an asynchronous standby takes back the last commits. A message that ends a second
//! time does not get a second SMS.

use std::time::Duration;

use store::job_args::ProcessMessage;

use super::{PROCESSED, ReplyHarness};
use crate::database::NUMBER;

/// How long after the reply the standby has become the primary.
const FAILOVER: Duration = Duration::from_secs(20);

/// After this time, an SMS is in Twilio's list.
const LISTED: Duration = Duration::from_secs(31);

impl ReplyHarness {
    /// As if the commit in which the message ended, and all later ones, had been taken back.
    async fn take_back_end(&self, sid: &str) {
        for statement in [
            "delete from pigeonhole.sends using pigeonhole.inbound_messages
             where id = reply and message_sid = $1",
            "delete from enrichment_items where source_metadata ->> 'message_sid' = $1",
            "update pigeonhole.inbound_messages
             set state = 'received', finished_at = null, opened_at = null, reply = null,
                 user_id = null, items = null
             where message_sid = $1",
        ] {
            sqlx::query(statement)
                .bind(sid)
                .execute(&self.app.pool)
                .await
                .unwrap();
        }
        let mut conn = self.app.pool.acquire().await.unwrap();
        let message = sid.parse().unwrap();
        queue::enqueue(&mut conn, &ProcessMessage { message })
            .await
            .unwrap();
    }

    async fn twilio_sids(&self) -> Vec<Option<String>> {
        sqlx::query_scalar("select twilio_sid from pigeonhole.sends order by twilio_sid")
            .fetch_all(&self.app.pool)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_reply_whose_row_was_lost_is_not_sent_again() {
    let harness = ReplyHarness::start().await;
    let sid = harness.process(NUMBER, "Met Ana").await;
    let sent = harness.twilio_sids().await;
    harness.take_back_end(&sid).await;
    harness.advance(FAILOVER).await;
    harness.queue.drain().await;
    assert_eq!(harness.app.state(&sid).await.as_deref(), Some("processed"));
    assert_eq!(harness.reply(&sid).await.unwrap().state, "pending");
    harness.advance(LISTED).await;
    harness.queue.drain().await;
    assert_eq!(harness.sent_to(NUMBER), [PROCESSED]);
    assert_eq!(harness.twilio_sids().await, sent);
}

#[tokio::test]
async fn replies_with_the_same_text_are_told_apart_by_the_rows_that_are_left() {
    let harness = ReplyHarness::start().await;
    let mut sids = Vec::new();
    for body in ["Met Ana", "Met Bo", "Met Cy"] {
        sids.push(harness.process(NUMBER, body).await);
    }
    let sent = harness.twilio_sids().await;
    for sid in &sids[1..] {
        harness.take_back_end(sid).await;
    }
    harness.advance(FAILOVER).await;
    harness.queue.drain().await;
    harness.advance(LISTED).await;
    harness.queue.drain().await;
    assert_eq!(harness.sent_to(NUMBER).len(), 3);
    assert_eq!(harness.twilio_sids().await, sent);
}

#[tokio::test]
async fn a_late_reply_that_was_never_sent_is_sent() {
    let harness = ReplyHarness::start().await;
    harness.process(NUMBER, "Met Ana").await;
    let late = harness.app.deliver("Met Bo").await;
    harness.advance(FAILOVER).await;
    harness.queue.drain().await;
    harness.advance(LISTED).await;
    harness.queue.drain().await;
    assert_eq!(harness.sent_to(NUMBER), [PROCESSED, PROCESSED]);
    let state = harness.reply(&late).await.unwrap().state;
    assert!(["sent", "delivered"].contains(&state.as_str()), "{state}");
}
