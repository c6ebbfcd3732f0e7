//! Replies: a webhook arrives, the test runs the jobs, and a simulated Twilio receives the replies.

mod failures;
mod keywords;
mod kills;
mod limits;
mod lost_rows;

use std::time::Duration;

use queue::testing::{FinishedAttempt, JobOutcome, TestQueue};
use twilio_simulator::{InboundText, SendAnswer, SimulatedApi};

use crate::{
    app::{TestApp, test_queue, text},
    database::{Database, NUMBER, UNLINKED_NUMBER},
    sends::{age_sends, receiver_and_twilio},
};

pub(crate) const PROCESSED: &str = "Got it! What you sent is ready for your review in the app.";
const NOT_LINKED: &str = "We do not know this number yet. Link it to your account in the app, then send your message again.";

/// A receiver, a simulated Twilio, and a queue whose jobs the test runs.
pub(crate) struct ReplyHarness {
    pub(crate) app: TestApp,
    pub(crate) api: SimulatedApi,
    pub(crate) queue: TestQueue,
}

/// The row of a reply.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct ReplyRow {
    pub(crate) kind: String,
    pub(crate) state: String,
    pub(crate) reason: Option<String>,
}

impl ReplyHarness {
    pub(crate) async fn start() -> Self {
        Self::with(|database| database).await
    }

    pub(crate) async fn with(prepare: impl FnOnce(Database) -> Database) -> Self {
        let (app, api) =
            receiver_and_twilio(|database| prepare(database.with("REPLIES", "all"))).await;
        let queue = test_queue(&app);
        Self { app, api, queue }
    }

    /// Delivers a text and runs all resulting jobs. Returns its SID.
    pub(crate) async fn process(&self, from: &str, body: &str) -> String {
        self.process_text(&text(from, body)).await
    }

    pub(crate) async fn process_text(&self, text: &InboundText) -> String {
        let sid = self.app.deliver_text(text).await;
        self.queue.drain().await;
        sid
    }

    /// The texts that were sent to this number.
    pub(crate) fn sent_to(&self, number: &str) -> Vec<String> {
        let accepted = self.api.accepted();
        let to = accepted.into_iter().filter(|message| message.to == number);
        to.map(|message| message.body).collect()
    }

    /// The reply of this message.
    pub(crate) async fn reply(&self, sid: &str) -> Option<ReplyRow> {
        sqlx::query_as(
            "select reply_kind as kind, sends.state, sends.reason
             from pigeonhole.sends join pigeonhole.inbound_messages on reply = id where message_sid = $1",
        )
        .bind(sid)
        .fetch_optional(&self.app.pool)
        .await
        .unwrap()
    }

    /// Lets time pass for the queue, sends, messages, numbers and limits.
    pub(crate) async fn advance(&self, time: Duration) {
        self.queue.advance(time).await;
        age_sends(&self.app, time).await;
        for statement in [
            "update pigeonhole.limit_log set at = at - make_interval(secs => $1)",
            "update user_phone_numbers set created_at = created_at - make_interval(secs => $1)",
            "update pigeonhole.inbound_messages set received_at = received_at - make_interval(secs => $1),
                 finished_at = finished_at - make_interval(secs => $1), reserved_for = reserved_for - make_interval(secs => $1)",
        ] {
            sqlx::query(statement)
                .bind(time.as_secs_f64())
                .execute(&self.app.pool)
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn a_processed_message_is_acknowledged_once() {
    let harness = ReplyHarness::start().await;
    let sid = harness.process(NUMBER, "Met Ana #rust").await;
    assert_eq!(harness.app.state(&sid).await.as_deref(), Some("processed"));
    assert_eq!(harness.sent_to(NUMBER), [PROCESSED]);
    let reply = harness.reply(&sid).await.unwrap();
    assert_eq!(reply.kind, "processed");
    assert!(
        ["sent", "delivered"].contains(&reply.state.as_str()),
        "{reply:?}"
    );
    // The same webhook again, and the same job again.
    harness.queue.assert_empty().await;
}

#[tokio::test]
async fn an_unlinked_sender_is_told_that_the_number_is_not_linked() {
    let harness = ReplyHarness::start().await;
    let sid = harness.process(UNLINKED_NUMBER, "Hello").await;
    assert_eq!(
        harness.app.state(&sid).await.as_deref(),
        Some("ignored_unlinked")
    );
    assert_eq!(harness.sent_to(UNLINKED_NUMBER), [NOT_LINKED]);
    assert_eq!(harness.reply(&sid).await.unwrap().kind, "not_linked");
}

#[tokio::test]
async fn a_rate_limited_sender_is_told_how_long_to_wait() {
    let harness = ReplyHarness::with(|database| {
        database
            .with("RATE_LIMIT_BURST", "1")
            .with("RATE_LIMIT_ACTION", "reject")
            .with("RATE_LIMIT_MESSAGES_PER_HOUR", "2")
    })
    .await;
    harness.process(NUMBER, "one").await;
    let sid = harness.process(NUMBER, "two").await;
    assert_eq!(
        harness.app.state(&sid).await.as_deref(),
        Some("rate_limited")
    );
    let told = harness.sent_to(NUMBER).pop().unwrap();
    assert!(told.contains("in 30 minutes"), "{told}");
}

#[tokio::test]
async fn settings_decide_which_messages_get_replies_and_their_texts() {
    let harness = ReplyHarness::with(|database| {
        database
            .with("REPLIES", "problems")
            .with("REPLY_NOT_LINKED", "Who are you?")
    })
    .await;
    let fine = harness.process(NUMBER, "Hello").await;
    assert_eq!(harness.reply(&fine).await, None);
    harness.process(UNLINKED_NUMBER, "Hello").await;
    assert_eq!(harness.sent_to(NUMBER), Vec::<String>::new());
    assert_eq!(harness.sent_to(UNLINKED_NUMBER), ["Who are you?"]);
}

#[tokio::test]
async fn senders_that_cannot_receive_sms_get_no_reply() {
    let harness = ReplyHarness::start().await;
    for from in [
        "12345",
        "Pharmacy 24",
        "whatsapp:+12025550123",
        "+15005550006", // our own
    ] {
        let sid = harness.process(from, "Hello").await;
        assert_eq!(harness.reply(&sid).await, None, "{from}");
    }
    assert_eq!(harness.api.requests().create, 0);
}

#[tokio::test]
async fn a_message_processed_late_gets_no_reply() {
    let harness = ReplyHarness::start().await;
    let sid = harness.app.deliver("Hello").await;
    harness.advance(Duration::from_mins(61)).await;
    harness.queue.drain().await;
    assert_eq!(harness.app.state(&sid).await.as_deref(), Some("processed"));
    assert_eq!(harness.reply(&sid).await, None);
    assert_eq!(harness.api.requests().create, 0);
}

#[tokio::test]
async fn a_reply_with_an_unclear_outcome_is_looked_up_and_never_sent_again() {
    for answer in [
        SendAnswer::CutAfter,
        SendAnswer::Garbage,
        SendAnswer::ServerError { accept: true },
    ] {
        let harness = ReplyHarness::start().await;
        harness.api.behave(NUMBER, answer.without_callbacks());
        let sid = harness.process(NUMBER, "Hello").await;
        assert_eq!(harness.reply(&sid).await.unwrap().state, "unknown");
        for _ in 0..5 {
            harness.advance(Duration::from_mins(1)).await;
            harness.queue.drain().await;
        }
        assert_eq!(harness.sent_to(NUMBER), [PROCESSED]);
        assert_eq!(harness.api.posts_to(NUMBER), 1);
        let state = harness.reply(&sid).await.unwrap().state;
        assert!(["sent", "delivered"].contains(&state.as_str()), "{state}");
    }
}

#[tokio::test]
async fn a_reply_that_twilio_throttles_is_counted_once_and_sent_later() {
    let harness = ReplyHarness::start().await;
    let throttled = SendAnswer::Throttle {
        times: 2,
        retry_after: Some(3),
    };
    harness.api.behave(UNLINKED_NUMBER, throttled);
    let sid = harness.process(UNLINKED_NUMBER, "Hello").await;
    assert_eq!(harness.reply(&sid).await.unwrap().state, "pending");
    for _ in 0..2 {
        harness.advance(Duration::from_secs(3)).await;
        let ran: Vec<FinishedAttempt> = harness.queue.drain().await;
        assert_eq!(ran.len(), 1);
        assert!(
            !matches!(ran[0].outcome, JobOutcome::DeadLetter { .. }),
            "{ran:?}"
        );
    }
    assert_eq!(harness.sent_to(UNLINKED_NUMBER), [NOT_LINKED]);
}
