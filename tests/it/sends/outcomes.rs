//! Twilio's responses and their effect on the send, its job and other jobs.

use std::time::Duration;

use queue::{admin, testing::JobOutcome};
use twilio_simulator::{Callbacks, SendAnswer};

use super::{BODY, LIFE, SendHarness, SendRow, TO, age_sends};

#[tokio::test]
async fn an_accepted_sms_is_sent_once_and_status_reports_mark_it_delivered() {
    let harness = SendHarness::start().await;
    let id = harness.send().await;
    assert_eq!(harness.run().await, JobOutcome::Completed);
    let message = harness.api.message_to(TO).await;
    assert_eq!(message.body, BODY);
    assert_eq!(message.from.as_deref(), Some("+15005550006"));
    harness.wait_for_state(id, "delivered").await;
    let row = harness.row(id).await;
    assert_eq!(row.twilio_sid, Some(message.sid));
    assert!(row.erased, "the text of a delivered SMS is erased");
    harness.queue.assert_empty().await;
    assert_eq!(harness.api.posts_to(TO), 1);
}

#[tokio::test]
async fn a_number_that_cannot_receive_sms_ends_the_send_with_its_reason() {
    let harness = SendHarness::start().await;
    for (code, reason) in [
        (21211, "invalid_number"),
        (21614, "not_mobile"),
        (21612, "no_route"),
        (21408, "region_not_enabled"),
        (60410, "blocked_as_fraud"),
        (29999, "other"),
        // This case is last, because no further SMS is sent to an opted-out number.
        (21610, "opted_out"),
    ] {
        let status = if code == 21408 { 403 } else { 400 };
        harness.api.behave(TO, SendAnswer::Refuse { status, code });
        let id = harness.send().await;
        assert_eq!(harness.run().await, JobOutcome::Completed, "{code}");
        let expected = SendRow {
            state: "failed".to_owned(),
            reason: Some(reason.to_owned()),
            error_code: Some(i32::try_from(code).unwrap()),
            twilio_sid: None,
            erased: true,
        };
        assert_eq!(harness.row(id).await, expected);
    }
    harness.queue.assert_empty().await;
    assert_eq!(harness.api.accepted(), []);
}

#[tokio::test]
async fn a_throttled_send_waits_as_long_as_twilio_says_and_costs_no_attempt() {
    let harness = SendHarness::start().await;
    let throttled = SendAnswer::Throttle {
        times: 2,
        retry_after: Some(7),
    };
    harness.api.behave(TO, throttled);
    let id = harness.send().await;
    for _ in 0..2 {
        let delay = Duration::from_secs(7);
        assert_eq!(harness.run().await, JobOutcome::Snoozed { delay });
        assert_eq!(harness.state(id).await, "pending");
        assert!(
            harness.queue.run_one().await.is_none(),
            "the job is not due yet"
        );
        harness.advance(delay).await;
    }
    let ran = harness.queue.run_one().await.unwrap();
    assert_eq!((ran.outcome, ran.attempt), (JobOutcome::Completed, 1));
    assert_eq!(
        (harness.api.posts_to(TO), harness.api.accepted().len()),
        (3, 1)
    );
}

#[tokio::test]
async fn wrong_credentials_pause_the_kind_and_cost_no_attempt() {
    let harness = SendHarness::start().await;
    harness.api.behave(TO, SendAnswer::BadCredentials);
    let id = harness.send().await;
    harness.send().await;
    assert!(matches!(harness.run().await, JobOutcome::Snoozed { .. }));
    assert_eq!(harness.state(id).await, "pending");
    assert!(
        harness.queue.run_one().await.is_none(),
        "the other job must not run into the same wall"
    );
    let mut conn = harness.app.pool.acquire().await.unwrap();
    let stats = admin::stats(&mut conn).await.unwrap();
    let shown = serde_json::to_string(&stats).unwrap();
    for words in [
        "20003",
        "TWILIO_AUTH_TOKEN",
        "jobs resume send_verification",
    ] {
        assert!(shown.contains(words), "{words} is not in {shown}");
    }

    harness.api.behave(TO, SendAnswer::Accept);
    admin::resume(&mut conn, "send_verification").await.unwrap();
    harness.advance(Duration::from_secs(31)).await;
    let ran = harness.queue.drain().await;
    assert_eq!(ran.len(), 2);
    assert!(ran.iter().all(|ran| ran.attempt == 1), "{ran:?}");
    assert_eq!(harness.api.accepted().len(), 2);
}

#[tokio::test]
async fn an_expired_code_is_never_delivered() {
    let harness = SendHarness::start().await;
    harness.api.behave(TO, Callbacks::None);
    harness.send().await;
    age_sends(&harness.app, LIFE.saturating_sub(Duration::from_secs(90))).await;
    harness.run().await;
    let validity = harness.api.message_to(TO).await.validity.unwrap();
    assert!((60..=90).contains(&validity), "{validity} s");

    let late = harness.send().await;
    age_sends(&harness.app, LIFE).await;
    assert_eq!(harness.run().await, JobOutcome::Completed);
    let row = harness.row(late).await;
    assert_eq!(
        (row.state.as_str(), row.reason.as_deref()),
        ("failed", Some("expired"))
    );
    assert_eq!(
        harness.api.posts_to(TO),
        1,
        "nothing was asked for the late one"
    );
}

#[tokio::test]
async fn the_sends_of_a_deleted_user_are_not_sent() {
    let harness = SendHarness::start().await;
    harness.send().await;
    sqlx::query("delete from users where id = $1")
        .bind(harness.app.user)
        .execute(&harness.app.pool)
        .await
        .unwrap();
    assert_eq!(harness.run().await, JobOutcome::Completed);
    assert_eq!(harness.api.posts_to(TO), 0);
}
