//! The limits on replies: they stop loops between two automatic senders and repeated notices.

use std::time::Duration;

use twilio_simulator::Callbacks;

use super::{NOT_LINKED, ReplyHarness};
use crate::{
    app::text,
    database::{NUMBER, UNLINKED_NUMBER},
    process::Process,
};

#[tokio::test]
async fn a_number_gets_at_most_five_replies_in_five_minutes() {
    let harness = ReplyHarness::start().await;
    harness.api.behave(NUMBER, Callbacks::None);
    let mut sids = Vec::new();
    for n in 0..12 {
        sids.push(
            harness
                .process(NUMBER, &format!("I am a machine, too ({n})"))
                .await,
        );
    }
    assert_eq!(harness.sent_to(NUMBER).len(), 5);
    for (n, sid) in sids.iter().enumerate() {
        assert_eq!(harness.app.state(sid).await.as_deref(), Some("processed"));
        let reply = harness.reply(sid).await.unwrap();
        let expected = if n < 5 {
            ("sent", None)
        } else {
            ("failed", Some("suppressed"))
        };
        assert_eq!(
            (reply.state.as_str(), reply.reason.as_deref()),
            expected,
            "{n}"
        );
    }
    harness.advance(Duration::from_mins(4)).await;
    harness.process(NUMBER, "again").await;
    assert_eq!(harness.sent_to(NUMBER).len(), 5);
    harness.advance(Duration::from_mins(2)).await;
    harness.process(NUMBER, "and again").await;
    assert_eq!(harness.sent_to(NUMBER).len(), 6);
}

#[tokio::test]
async fn a_number_is_told_of_the_same_problem_once_an_hour() {
    let harness = ReplyHarness::start().await;
    for _ in 0..6 {
        harness.process(UNLINKED_NUMBER, "Hello?").await;
        harness.advance(Duration::from_mins(8)).await;
    }
    assert_eq!(harness.sent_to(UNLINKED_NUMBER), [NOT_LINKED]);
    harness.advance(Duration::from_mins(13)).await;
    harness.process(UNLINKED_NUMBER, "Hello?").await;
    assert_eq!(harness.sent_to(UNLINKED_NUMBER), [NOT_LINKED, NOT_LINKED]);
    // Another problem and another number have limits of their own.
    harness.process("+12025550188", "Hello?").await;
    assert_eq!(harness.sent_to("+12025550188"), [NOT_LINKED]);
}

#[tokio::test]
async fn concurrent_replies_from_several_processes_respect_the_limits() {
    let (app, api) = crate::sends::receiver_and_twilio(|database| {
        database
            .with("REPLIES", "all")
            .with("RATE_LIMIT_BURST", "100")
            .with("RUST_LOG", "warn")
    })
    .await;
    let mut sids = Vec::new();
    for n in 0..40 {
        let from = if n % 2 == 0 { NUMBER } else { UNLINKED_NUMBER };
        sids.push(app.deliver_text(&text(from, &format!("number {n}"))).await);
    }
    let workers: Vec<Process> = (0..3)
        .map(|_| Process::start("worker", &app.settings))
        .collect();
    app.drain().await;
    drop(workers);
    assert_eq!(app.rows().await.dead, 0);
    let sent = |to| {
        api.accepted()
            .iter()
            .filter(|message| message.to == to)
            .count()
    };
    assert_eq!(sent(NUMBER), 5);
    assert_eq!(sent(UNLINKED_NUMBER), 1);
}
