//! The keywords STOP, START and HELP.

use std::time::Duration;

use queue::testing::JobOutcome;
use store::{
    E164, opt_outs,
    sends::{self, NewVerification},
};
use twilio_simulator::{Callbacks, InboundText, SendAnswer};
use uuid::Uuid;

use super::{ReplyHarness, ReplyRow};
use crate::{
    app::{field, text},
    database::{NUMBER, UNLINKED_NUMBER},
    wait::{PATIENCE, eventually},
};

async fn is_opted_out(harness: &ReplyHarness, number: &str) -> bool {
    let mut conn = harness.app.pool.acquire().await.unwrap();
    let keyring = harness.app.settings.keyring();
    opt_outs::is_opted_out(&mut conn, &keyring, number)
        .await
        .unwrap()
}

/// Enqueues a verification SMS and runs its job. Returns its send.
async fn verification(harness: &ReplyHarness, to: &str) -> Uuid {
    let send = NewVerification {
        user_id: harness.app.user,
        to: E164::parse(to).unwrap(),
        body: "Your code is 482913.".to_owned(),
        life: Duration::from_mins(10),
        trace: None,
    };
    let mut tx = harness.app.pool.begin().await.unwrap();
    let keyring = harness.app.settings.keyring();
    let send = sends::enqueue_verification(&mut tx, &keyring, &send)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    harness.queue.drain().await;
    send
}

async fn outcome(harness: &ReplyHarness, send: Uuid) -> (String, Option<String>) {
    sqlx::query_as("select state, reason from pigeonhole.sends where id = $1")
        .bind(send)
        .fetch_one(&harness.app.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn after_stop_nothing_is_sent_to_the_number_until_start() {
    let harness = ReplyHarness::start().await;
    harness.api.behave(NUMBER, Callbacks::None);
    let stop = harness.process(NUMBER, " Stop ").await;
    assert_eq!(
        harness.app.state(&stop).await.as_deref(),
        Some("keyword_stop")
    );
    assert!(is_opted_out(&harness, NUMBER).await);

    let sid = harness.process(NUMBER, "Met Ana").await;
    assert_eq!(harness.app.state(&sid).await.as_deref(), Some("processed"));
    let expected = ReplyRow {
        kind: "processed".to_owned(),
        state: "failed".to_owned(),
        reason: Some("opted_out".to_owned()),
    };
    assert_eq!(harness.reply(&sid).await, Some(expected));
    let send = verification(&harness, NUMBER).await;
    assert_eq!(
        outcome(&harness, send).await,
        ("failed".to_owned(), Some("opted_out".to_owned()))
    );
    assert_eq!(
        harness.api.requests().create,
        0,
        "Twilio was not even asked"
    );

    let start = harness.process(NUMBER, "UNSTOP").await;
    assert_eq!(
        harness.app.state(&start).await.as_deref(),
        Some("keyword_start")
    );
    assert!(!is_opted_out(&harness, NUMBER).await);
    harness.process(NUMBER, "Met Bo").await;
    assert_eq!(harness.sent_to(NUMBER), [super::PROCESSED]);
    harness.queue.assert_empty().await;
}

#[tokio::test]
async fn a_keyword_creates_no_items_gets_no_reply_and_uses_no_rate_limit() {
    let harness = ReplyHarness::with(|database| {
        database
            .with("RATE_LIMIT_BURST", "1")
            .with("RATE_LIMIT_ACTION", "reject")
    })
    .await;
    for (body, state) in [
        ("HELP", "keyword_help"),
        ("info", "keyword_help"),
        ("yes", "keyword_start"),
        ("Quit", "keyword_stop"),
        ("start", "keyword_start"),
    ] {
        let sid = harness.process(NUMBER, body).await;
        assert_eq!(
            harness.app.state(&sid).await.as_deref(),
            Some(state),
            "{body}"
        );
        assert_eq!(harness.reply(&sid).await, None, "{body}");
    }
    assert_eq!(
        (
            harness.app.rows().await.items,
            harness.api.requests().create
        ),
        (0, 0)
    );
    // The rate limit still allows its one message.
    let sid = harness.process(NUMBER, "start with Ana").await;
    assert_eq!(harness.app.state(&sid).await.as_deref(), Some("processed"));
}

#[tokio::test]
async fn stop_counts_from_unknown_numbers_and_in_twilios_own_keywords() {
    let harness = ReplyHarness::start().await;
    let arret = InboundText {
        fields: vec![field("OptOutType", "STOP")],
        ..text(UNLINKED_NUMBER, "ARRET")
    };
    let sid = harness.process_text(&arret).await;
    assert_eq!(
        harness.app.state(&sid).await.as_deref(),
        Some("keyword_stop")
    );
    harness.process(UNLINKED_NUMBER, "Hello").await;
    assert_eq!(harness.api.requests().create, 0);
}

#[tokio::test]
async fn the_later_keyword_counts_in_any_order_of_processing() {
    let harness = ReplyHarness::start().await;
    for (first, last, opted_out) in [("START", "STOP", true), ("STOP", "START", false)] {
        let first = harness
            .app
            .deliver_text(&text(UNLINKED_NUMBER, first))
            .await;
        let last = harness.app.deliver_text(&text(UNLINKED_NUMBER, last)).await;
        // Delays the job of the first message.
        sqlx::query("update queue.jobs set position = position + interval '1 hour' where args ->> 'message' = $1")
            .bind(&first)
            .execute(&harness.app.pool)
            .await
            .unwrap();
        let ran = harness.queue.drain().await;
        assert_eq!(ran.len(), 2);
        let ended: String = sqlx::query_scalar(
            "select message_sid from pigeonhole.inbound_messages order by finished_at desc limit 1",
        )
        .fetch_one(&harness.app.pool)
        .await
        .unwrap();
        assert_eq!(ended, first, "not {last}");
        assert_eq!(is_opted_out(&harness, UNLINKED_NUMBER).await, opted_out);
    }
}

#[tokio::test]
async fn opt_outs_are_learned_from_twilios_refusals_and_reports() {
    let harness = ReplyHarness::start().await;
    harness.api.behave(
        UNLINKED_NUMBER,
        SendAnswer::Refuse {
            status: 400,
            code: 21610,
        },
    );
    harness.process(UNLINKED_NUMBER, "Hello").await;
    assert!(is_opted_out(&harness, UNLINKED_NUMBER).await);
    verification(&harness, UNLINKED_NUMBER).await;
    assert_eq!(
        harness.api.posts_to(UNLINKED_NUMBER),
        1,
        "no second request to Twilio"
    );

    let reported = Callbacks::Sequence {
        statuses: vec!["failed".to_owned()],
        error_code: Some(21610),
        before_answer: false,
    };
    harness.api.behave(NUMBER, reported);
    harness.process(NUMBER, "Hello").await;
    eventually("the status report is processed", PATIENCE, async || {
        is_opted_out(&harness, NUMBER).await.then_some(())
    })
    .await;
    harness.process(NUMBER, "START").await;
    assert!(!is_opted_out(&harness, NUMBER).await);
}

#[tokio::test]
async fn a_stop_whose_worker_dies_still_takes_effect() {
    let harness = ReplyHarness::start().await;
    let sid = harness.app.deliver_text(&text(NUMBER, "STOP")).await;
    sqlx::query(
        "create function no() returns trigger language plpgsql as $$ begin raise 'no'; end $$",
    )
    .execute(&harness.app.pool)
    .await
    .unwrap();
    sqlx::query(
        "create trigger no before insert on pigeonhole.opt_outs for each row execute function no()",
    )
    .execute(&harness.app.pool)
    .await
    .unwrap();
    let ran = harness.queue.run_one().await.unwrap();
    assert!(matches!(ran.outcome, JobOutcome::Retried { .. }), "{ran:?}");
    assert_eq!(
        harness.app.state(&sid).await.as_deref(),
        Some("received"),
        "the transaction is rolled back as a whole"
    );
    sqlx::query("drop trigger no on pigeonhole.opt_outs")
        .execute(&harness.app.pool)
        .await
        .unwrap();
    harness.advance(Duration::from_mins(1)).await;
    harness.queue.drain().await;
    assert!(is_opted_out(&harness, NUMBER).await);
}
