//! A recovered message counts from when it was sent: for opt-outs, for the user of its number, for
//! the rate limit and for its reply.

use std::time::Duration;

use chrono::SubsecRound;
use store::{E164, opt_outs, user_phone_numbers};
use uuid::Uuid;

use super::{RecoveryHarness, SETTLED};
use crate::{app::text, database::NUMBER, sends::age_sends};

impl RecoveryHarness {
    async fn is_opted_out(&self) -> bool {
        let mut conn = self.app.pool.acquire().await.unwrap();
        let keyring = self.app.settings.keyring();
        opt_outs::is_opted_out(&mut conn, &keyring, NUMBER)
            .await
            .unwrap()
    }

    /// Delivers a text by its webhook and runs its job.
    async fn deliver(&self, body: &str) -> String {
        let sid = self.app.deliver_text(&text(NUMBER, body)).await;
        self.queue.drain().await;
        sid
    }
}

#[tokio::test]
async fn a_stop_that_is_recovered_counts_and_never_over_a_later_start() {
    let harness = RecoveryHarness::start().await;
    let stop = harness.lose("STOP", Duration::from_mins(10)).await;
    harness.recover().await;
    assert_eq!(
        harness.app.state(&stop).await.as_deref(),
        Some("keyword_stop")
    );
    assert!(harness.is_opted_out().await);
    // A START that came by its webhook meanwhile is later than a STOP that is found afterwards.
    harness.deliver("START").await;
    harness.lose("STOP", Duration::from_mins(5)).await;
    harness.recover().await;
    assert!(!harness.is_opted_out().await);
}

#[tokio::test]
async fn a_start_that_is_recovered_counts_and_never_over_a_later_stop() {
    let harness = RecoveryHarness::start().await;
    harness.lose("STOP", Duration::from_mins(30)).await;
    harness.lose("START", Duration::from_mins(20)).await;
    harness.recover().await;
    assert!(!harness.is_opted_out().await);
    harness.deliver("STOP").await;
    harness.lose("START", Duration::from_mins(10)).await;
    harness.recover().await;
    assert!(harness.is_opted_out().await);
}

#[tokio::test]
async fn keywords_that_are_recovered_together_count_in_the_order_in_which_they_were_sent() {
    for (words, is_out) in [
        (["STOP", "START", "STOP"], true),
        (["START", "STOP", "START"], false),
    ] {
        let harness = RecoveryHarness::start().await;
        for (word, minutes) in words.into_iter().zip([30, 20, 10]) {
            harness.lose(word, Duration::from_mins(minutes)).await;
        }
        harness.recover().await;
        assert_eq!(harness.is_opted_out().await, is_out, "{words:?}");
    }
}

/// Twilio's list gives whole seconds, the text was sent at 07.8 s.
#[tokio::test]
async fn a_text_of_the_second_in_which_its_number_was_linked_makes_items() {
    let harness = RecoveryHarness::start().await;
    let second = harness.now().await.trunc_subsecs(0) - Duration::from_mins(10);
    sqlx::query("update user_phone_numbers set created_at = $1")
        .bind(second + Duration::from_millis(500))
        .execute(&harness.app.pool)
        .await
        .unwrap();
    let sid = harness.api.take_lost(
        &text(NUMBER, "Met Ana"),
        second + Duration::from_millis(800),
    );
    harness.recover().await;
    assert_eq!(harness.app.state(&sid).await.as_deref(), Some("processed"));
}

#[tokio::test]
async fn within_one_second_a_stop_counts_whatever_came_by_its_webhook() {
    for (lost, delivered) in [("STOP", "START"), ("START", "STOP")] {
        let harness = RecoveryHarness::start().await;
        let second = harness.now().await.trunc_subsecs(0) - Duration::from_mins(10);
        harness.deliver(delivered).await;
        sqlx::query("update pigeonhole.opt_outs set since = $1")
            .bind(second + Duration::from_millis(400))
            .execute(&harness.app.pool)
            .await
            .unwrap();
        harness
            .api
            .take_lost(&text(NUMBER, lost), second + Duration::from_millis(200));
        harness.recover().await;
        assert!(
            harness.is_opted_out().await,
            "{lost} was lost, {delivered} came"
        );
    }
}

#[tokio::test]
async fn a_text_that_was_sent_before_its_number_was_linked_makes_no_items() {
    let harness = RecoveryHarness::start().await;
    let mut conn = harness.app.pool.acquire().await.unwrap();
    let keyring = harness.app.settings.keyring();
    let number = E164::parse(NUMBER).unwrap();
    sqlx::query("delete from user_phone_numbers")
        .execute(&mut *conn)
        .await
        .unwrap();
    let later = Uuid::new_v4();
    store::users::ensure(&mut conn, later).await.unwrap();
    user_phone_numbers::link(&mut conn, &keyring, later, &number)
        .await
        .unwrap();
    let sid = harness.lose("Met Ana", Duration::from_mins(10)).await;
    harness.recover().await;
    assert_eq!(
        harness.app.state(&sid).await.as_deref(),
        Some("ignored_unlinked")
    );
    assert_eq!(harness.app.rows().await.items, 0);
}

#[tokio::test]
async fn the_rate_limit_counts_recovered_texts_when_they_were_sent() {
    let harness = RecoveryHarness::with(|database| {
        database
            .with("RATE_LIMIT_BURST", "2")
            .with("RATE_LIMIT_MESSAGES_PER_HOUR", "4")
            .with("RATE_LIMIT_ACTION", "reject")
    })
    .await;
    // Two each at three times with enough between them, and a third one at the last time.
    for minutes in [100, 60, 20] {
        for _ in 0..2 {
            harness.lose("Met Ana", Duration::from_mins(minutes)).await;
        }
    }
    harness.recover().await;
    assert_eq!(harness.app.rows().await.items, 6);
    let over = harness.lose("Met Bo", Duration::from_mins(20)).await;
    harness.recover().await;
    assert_eq!(
        harness.app.state(&over).await.as_deref(),
        Some("rate_limited")
    );
    // They do not use up what the user may send now.
    let now = harness.deliver("Met Cy").await;
    assert_eq!(harness.app.state(&now).await.as_deref(), Some("processed"));
}

#[tokio::test]
async fn a_text_that_is_recovered_late_gets_no_reply_and_one_that_is_recovered_soon_gets_its() {
    let harness = RecoveryHarness::with(|database| database.with("REPLIES", "all")).await;
    harness.lose("Met Ana", Duration::from_mins(100)).await;
    let soon = harness.lose("Met Bo", Duration::from_mins(10)).await;
    harness.recover().await;
    let replied: Vec<String> = sqlx::query_scalar(
        "select message_sid from pigeonhole.inbound_messages where reply is not null",
    )
    .fetch_all(&harness.app.pool)
    .await
    .unwrap();
    assert_eq!(replied, [soon]);
    // It is sent once Twilio's list would have an earlier one.
    harness.queue.advance(SETTLED).await;
    age_sends(&harness.app, SETTLED + Duration::from_secs(1)).await;
    harness.queue.drain().await;
    assert_eq!(harness.api.posts_to(NUMBER), 1);
}
