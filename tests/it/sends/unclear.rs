//! It is unclear whether Twilio has accepted an SMS: the job looks the SMS up and never sends it
//! again.

use std::time::Duration;

use queue::testing::JobOutcome;
use twilio_simulator::SendAnswer;

use super::{SendHarness, TO};

const FIRST_LOOK: Duration = Duration::from_secs(30);

/// The states of a message that the list contains.
const FOUND: [&str; 2] = ["sent", "delivered"];

/// Every way in which a response is missing or unclear, with the number of messages that Twilio has
/// then.
fn unclear_answers() -> Vec<(SendAnswer, usize)> {
    vec![
        (SendAnswer::CutAfter, 1),
        (SendAnswer::CutBefore, 0),
        (SendAnswer::Garbage, 1),
        (SendAnswer::ServerError { accept: true }, 1),
        (SendAnswer::ServerError { accept: false }, 0),
    ]
}

#[tokio::test]
async fn an_sms_with_an_unclear_outcome_is_looked_up_and_never_sent_again() {
    for (answer, messages) in unclear_answers() {
        let harness = SendHarness::start().await;
        harness.api.behave(TO, answer.clone().without_callbacks());
        let id = harness.send().await;
        let looked_for = JobOutcome::Snoozed { delay: FIRST_LOOK };
        assert_eq!(harness.run().await, looked_for, "{answer:?}");
        assert_eq!(harness.state(id).await, "unknown");
        let mut outcomes = Vec::new();
        for _ in 0..10 {
            harness.advance(Duration::from_mins(5)).await;
            outcomes.extend(
                harness
                    .queue
                    .drain()
                    .await
                    .into_iter()
                    .map(|ran| ran.outcome),
            );
        }
        assert_eq!(outcomes.last(), Some(&JobOutcome::Completed), "{answer:?}");
        harness.queue.assert_empty().await;
        let row = harness.row(id).await;
        let expected = if messages == 1 {
            &FOUND[..]
        } else {
            &["unknown"]
        };
        assert!(
            expected.contains(&row.state.as_str()),
            "{answer:?}: {row:?}"
        );
        assert_eq!(row.twilio_sid.is_some(), messages == 1);
        assert_eq!(harness.api.accepted().len(), messages, "{answer:?}");
        assert_eq!(harness.api.posts_to(TO), 1, "{answer:?}");
    }
}

#[tokio::test]
async fn a_status_report_resolves_an_unclear_send_before_the_list_is_read() {
    for answer in [SendAnswer::CutAfter, SendAnswer::Garbage] {
        let harness = SendHarness::start().await;
        harness.api.behave(TO, answer);
        let id = harness.send().await;
        harness.run().await;
        harness.wait_for_state(id, "delivered").await;
        let sid = harness.api.message_to(TO).await.sid;
        assert_eq!(harness.row(id).await.twilio_sid, Some(sid));
        harness.advance(FIRST_LOOK).await;
        assert_eq!(harness.run().await, JobOutcome::Completed);
        assert_eq!(harness.api.requests().list, 0);
    }
}

#[tokio::test]
async fn two_unclear_sends_of_one_text_each_find_their_own_message() {
    let harness = SendHarness::start().await;
    harness
        .api
        .behave(TO, SendAnswer::CutAfter.without_callbacks());
    let (first, second) = (harness.send().await, harness.send().await);
    harness.queue.drain().await;
    harness.api.behave(TO, SendAnswer::CutBefore);
    let third = harness.send().await;
    harness.queue.drain().await;
    harness.advance(FIRST_LOOK).await;
    harness.queue.drain().await;
    let (first, second) = (harness.row(first).await, harness.row(second).await);
    assert!(first.twilio_sid.is_some() && second.twilio_sid.is_some());
    assert_ne!(first.twilio_sid, second.twilio_sid);
    assert_eq!(
        harness.state(third).await,
        "unknown",
        "there is no third message"
    );
    harness.app.leaves.live("send_verification", 1); // it looks for the third message again
}

#[tokio::test]
async fn twilios_list_is_read_thirty_seconds_after_the_request_at_the_earliest() {
    let harness = SendHarness::start().await;
    harness
        .api
        .behave(TO, SendAnswer::CutAfter.without_callbacks());
    let id = harness.send().await;
    harness.run().await;
    harness.advance(Duration::from_secs(10)).await;
    assert!(harness.queue.run_one().await.is_none());
    assert_eq!(harness.api.requests().list, 0);
    harness.advance(Duration::from_secs(20)).await;
    let ran = harness.queue.run_one().await.unwrap();
    assert_eq!((ran.attempt, ran.outcome), (1, JobOutcome::Completed));
    assert_eq!(harness.api.requests().list, 1);
    assert!(FOUND.contains(&harness.state(id).await.as_str()));
}
