//! Messages that cannot be processed: their users are told once, after the last attempt.

use std::time::Duration;

use queue::{admin, testing::JobOutcome};

use super::ReplyHarness;
use crate::database::NUMBER;

const FAILED: &str =
    "Sorry, we could not make anything of your last message. Please send it again a little later.";

/// Makes every insert of an item fail from now on.
async fn break_items(harness: &ReplyHarness) {
    for statement in [
        "create function no() returns trigger language plpgsql as $$ begin raise 'no'; end $$",
        "create trigger no before insert on enrichment_items for each row execute function no()",
    ] {
        sqlx::query(statement)
            .execute(&harness.app.pool)
            .await
            .unwrap();
    }
}

async fn repair_items(harness: &ReplyHarness) {
    sqlx::query("drop trigger no on enrichment_items")
        .execute(&harness.app.pool)
        .await
        .unwrap();
}

/// Runs the message's job until it is a dead letter. Returns the number of attempts. No time passes
/// for the message.
async fn exhaust(harness: &ReplyHarness) -> u16 {
    loop {
        let ran = harness.queue.run_one().await.expect("a job is ready");
        match ran.outcome {
            JobOutcome::Retried { delay, .. } => harness.queue.advance(delay).await,
            JobOutcome::DeadLetter { reason, .. } => {
                assert_eq!(reason, "attempts_exhausted");
                return ran.attempt;
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn requeue(harness: &ReplyHarness) {
    let mut conn = harness.app.pool.acquire().await.unwrap();
    let id: i64 = sqlx::query_scalar("select id from queue.dead_jobs")
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    assert_eq!(admin::requeue(&mut conn, &[id]).await.unwrap().requeued, 1);
}

#[tokio::test]
async fn the_user_is_told_after_the_last_failed_attempt_and_the_job_becomes_a_dead_letter() {
    let harness = ReplyHarness::start().await;
    break_items(&harness).await;
    let sid = harness.app.deliver("Met Ana").await;
    harness.app.leaves.dead("process_message", 1);
    let first = harness.queue.run_one().await.unwrap();
    assert!(
        matches!(first.outcome, JobOutcome::Retried { .. }),
        "{first:?}"
    );
    assert_eq!(harness.app.state(&sid).await.as_deref(), Some("received"));
    harness.queue.advance(Duration::from_mins(10)).await;
    assert_eq!(exhaust(&harness).await, 12);
    assert_eq!(harness.app.state(&sid).await.as_deref(), Some("failed"));
    harness.queue.drain().await;
    assert_eq!(harness.sent_to(NUMBER), [FAILED]);
    let rows = harness.app.rows().await;
    assert_eq!((rows.jobs, rows.dead, rows.items), (0, 1, 0));
    let reason: String = sqlx::query_scalar("select reason from pigeonhole.inbound_messages")
        .fetch_one(&harness.app.pool)
        .await
        .unwrap();
    assert_eq!(reason, "database");
}

#[tokio::test]
async fn a_requeued_dead_letter_processes_its_message_and_a_second_failure_sends_no_reply() {
    let harness = ReplyHarness::start().await;
    break_items(&harness).await;
    let sid = harness.app.deliver("Met Ana").await;
    exhaust(&harness).await;
    harness.queue.drain().await;
    requeue(&harness).await;
    exhaust(&harness).await;
    harness.queue.drain().await;
    assert_eq!(harness.sent_to(NUMBER), [FAILED], "once");

    repair_items(&harness).await;
    requeue(&harness).await;
    harness.queue.drain().await;
    assert_eq!(harness.app.state(&sid).await.as_deref(), Some("processed"));
    assert_eq!(harness.app.values(&sid).await, ["Met Ana"]);
    assert_eq!(harness.sent_to(NUMBER), [FAILED, super::PROCESSED]);
    harness.queue.assert_empty().await;
}

#[tokio::test]
async fn the_message_of_an_abandoned_job_is_ended_and_its_user_is_told_once() {
    let harness = ReplyHarness::start().await;
    let sid = harness.app.deliver("Met Ana").await;
    let other = harness.app.deliver("Met Bo").await;
    let mut conn = harness.app.pool.acquire().await.unwrap();
    let id: i64 = sqlx::query_scalar("select id from queue.jobs where args ->> 'message' = $1")
        .bind(&sid)
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    admin::discard(&mut conn, &[id], false).await.unwrap();
    harness.app.leaves.dead("process_message", 1);
    for _ in 0..2 {
        queue::enqueue(&mut conn, &jobs::ReconcileDeadMessages {})
            .await
            .unwrap();
        harness.queue.drain().await;
    }
    assert_eq!(harness.app.state(&sid).await.as_deref(), Some("failed"));
    assert_eq!(
        harness.app.state(&other).await.as_deref(),
        Some("processed")
    );
    let mut sent = harness.sent_to(NUMBER);
    sent.sort_unstable();
    assert_eq!(sent, [super::PROCESSED, FAILED]);
    assert_eq!(harness.reply(&sid).await.unwrap().kind, "failed");
}

#[tokio::test]
async fn an_unreadable_message_fails_without_a_reply() {
    let harness = ReplyHarness::start().await;
    let sid = harness.app.deliver("Met Ana").await;
    harness.app.leaves.dead("process_message", 1);
    sqlx::query("update pigeonhole.inbound_messages set sealed = '\\x00'")
        .execute(&harness.app.pool)
        .await
        .unwrap();
    exhaust(&harness).await;
    assert_eq!(harness.app.state(&sid).await.as_deref(), Some("failed"));
    assert_eq!(harness.reply(&sid).await, None);
    assert_eq!(harness.api.requests().create, 0);
}
