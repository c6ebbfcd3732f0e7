//! Exactly once: against webhooks that arrive meanwhile or later, and against repeated looks.

use std::time::Duration;

use jobs::LookScope;
use queue::testing::JobOutcome;

use super::{RecoveryHarness, deps};
use crate::{app::text, database::NUMBER};

const AGO: Duration = Duration::from_mins(10);

#[tokio::test]
async fn a_webhook_that_arrives_after_the_recovery_of_its_message_changes_nothing() {
    let harness = RecoveryHarness::start().await;
    let sid = harness.lose("Met Ana #rust", AGO).await;
    let parameters = harness.api.received()[0].parameters.clone();
    harness.look().await;
    for _ in 0..2 {
        let delivery = harness.app.twilio.post(sid.clone(), &parameters).await;
        assert_eq!(delivery.unwrap().status, 200);
    }
    harness.recover().await;
    let late = harness.app.twilio.post(sid.clone(), &parameters).await;
    assert_eq!(late.unwrap().status, 200);
    harness.recover().await;
    assert_eq!(harness.app.values(&sid).await, ["Met Ana #rust", "rust"]);
    assert_eq!(harness.source(&sid).await.as_deref(), Some("alert"));
    let rows = harness.app.rows().await;
    assert_eq!((rows.messages, rows.items, rows.jobs), (1, 2, 0));
}

#[tokio::test]
async fn a_message_whose_webhook_came_is_not_recovered() {
    let harness = RecoveryHarness::start().await;
    let sid = harness.lose("Met Ana #rust", AGO).await;
    let parameters = harness.api.received()[0].parameters.clone();
    let delivery = harness.app.twilio.post(sid.clone(), &parameters).await;
    assert_eq!(delivery.unwrap().status, 200);
    harness.recover().await;
    assert_eq!(harness.source(&sid).await.as_deref(), Some("webhook"));
    let rows = harness.app.rows().await;
    assert_eq!((rows.messages, rows.items, rows.jobs), (1, 2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looks_and_webhooks_at_the_same_time_accept_each_message_once() {
    let harness = RecoveryHarness::start().await;
    let mut lost = Vec::new();
    for n in 0..300 {
        lost.push(harness.lose(&format!("Met Ana {n}"), AGO).await);
    }
    let received = harness.api.received();
    let looks = (0..4).map(|_| {
        let deps = deps(&harness.app);
        tokio::spawn(async move { jobs::recover(&deps, LookScope::default()).await })
    });
    let looks: Vec<_> = looks.collect();
    for taken in received.iter().step_by(3) {
        let sid = taken.sid.clone();
        let delivery = harness.app.twilio.post(sid, &taken.parameters).await;
        assert_eq!(delivery.unwrap().status, 200);
    }
    let mut recovered = 0;
    for look in looks {
        recovered += look.await.unwrap().unwrap().recovered();
    }
    harness.queue.drain().await;
    let webhooks = harness
        .count("select count(*) from pigeonhole.inbound_messages where source = 'webhook'")
        .await;
    assert_eq!(webhooks + i64::try_from(recovered).unwrap(), 300);
    let rows = harness.app.rows().await;
    assert_eq!((rows.messages, rows.items, rows.jobs), (300, 300, 0));
}

#[tokio::test]
async fn a_senders_texts_are_processed_in_the_order_in_which_they_were_sent() {
    let harness = RecoveryHarness::start().await;
    let mut sent = Vec::new();
    // Twilio's list is newest first, and the order of SIDs is random.
    for n in 0..30_u64 {
        let ago = Duration::from_secs(600 - 2 * n);
        sent.push(harness.lose(&n.to_string(), ago).await);
    }
    harness.look().await;
    let jobs: Vec<String> = sqlx::query_scalar(
        "select args ->> 'message' from queue.jobs where kind = 'process_message'
         order by position, id",
    )
    .fetch_all(&harness.app.pool)
    .await
    .unwrap();
    assert_eq!(jobs, sent);
    harness.recover().await;
}

#[tokio::test]
async fn a_look_that_has_recovered_something_is_followed_by_another_one_until_nothing_is_missing() {
    let harness = RecoveryHarness::start().await;
    assert_eq!(harness.look().await, JobOutcome::Completed);
    harness.lose("one", AGO).await;
    let again = harness.look().await;
    let JobOutcome::Snoozed { delay } = again else {
        panic!("{again:?}");
    };
    assert!(delay <= Duration::from_secs(30), "{delay:?}");
    harness.lose("two", AGO).await;
    harness.recover_rest().await;
    assert_eq!(harness.app.rows().await.messages, 2);
}

#[tokio::test]
async fn thousands_of_lost_texts_of_many_senders_all_arrive_and_none_twice() {
    let texts: i64 = crate::settings::test_run_variable("PIGEONHOLE_RECOVERY_TEXTS")
        .map_or(1_500, |number| number.parse().unwrap());
    let harness = RecoveryHarness::start().await;
    for n in 0..texts {
        let ago = Duration::from_secs(60 + u64::try_from(n % 3_000).unwrap());
        let body = format!("Met Ana {n}");
        let from = match n % 50 {
            0 => NUMBER.to_owned(),
            _ => format!("+1202556{:04}", n % 10_000),
        };
        harness.lose_text(&text(&from, &body), ago).await;
    }
    let report = harness.report(LookScope::default()).await.unwrap();
    assert_eq!(i64::try_from(report.recovered()), Ok(texts));
    let rows = harness.app.rows().await;
    assert_eq!((rows.messages, rows.jobs), (texts, texts));
    let again = harness.report(LookScope::default()).await.unwrap();
    assert_eq!(again.recovered(), 0);
    harness.app.leaves.any_live("process_message");
}

impl RecoveryHarness {
    /// Runs the looks that wait, and all other jobs, until none is left.
    async fn recover_rest(&self) {
        while self.looks().await > 0 {
            self.queue.advance(Duration::from_secs(31)).await;
            self.queue.drain().await;
        }
    }
}
