//! Faults of the queue and its workers.

use super::DoctorHarness;
use crate::{
    process::{Process, run},
    wait::{PATIENCE, eventually},
};

async fn enqueue(harness: &DoctorHarness, kind: &str) {
    sqlx::query("insert into queue.jobs (kind, max_attempts, args) values ($1, 1, '{}')")
        .bind(kind)
        .execute(&harness.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_queue_without_workers_is_found_until_one_is_started() {
    let harness = DoctorHarness::start().await;
    harness.sql("delete from queue.workers").await;
    enqueue(&harness, "process_message").await;
    harness
        .assert_only(
            "workers",
            "fault",
            "no worker is running",
            "pigeonhole worker",
        )
        .await;
    harness.sql("delete from queue.jobs").await;

    let _worker = Process::start("worker", &harness.settings);
    eventually("all checks pass", PATIENCE, async || {
        (harness.doctor(&[]).await.code == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_disappeared_is_a_warning() {
    let harness = DoctorHarness::start().await;
    harness.sql(
        "insert into queue.workers values ('gone', now(), now() - interval '1 minute', '{process_message}', 1, 0)",
    )
    .await;
    harness
        .assert_only(
            "workers",
            "warning",
            "1 workers have sent no heartbeat",
            "pigeonhole jobs workers",
        )
        .await;
}

#[tokio::test]
async fn every_kind_that_a_worker_runs_is_known_and_an_unknown_kind_is_a_fault() {
    let harness = DoctorHarness::start().await;
    harness.sql("delete from queue.workers").await;
    let worker = Process::start("worker", &harness.settings);
    let kinds = eventually("the worker is registered", PATIENCE, async || {
        let kinds: Option<Vec<String>> = sqlx::query_scalar("select kinds from queue.workers")
            .fetch_optional(&harness.pool)
            .await
            .unwrap();
        kinds
    })
    .await;
    worker.kill();
    // The running worker knows none of these kinds.
    harness.sql("delete from queue.jobs; update queue.workers set kinds = '{}', seen_at = now() + interval '1 day'")
        .await;
    for kind in &kinds {
        enqueue(&harness, kind).await;
    }
    let diagnosis = harness.doctor(&[]).await;
    assert_eq!(kinds.len(), 10);
    for kind in &kinds {
        let says = format!("1 jobs of the kind {kind}, which no worker runs");
        diagnosis.assert_names("kinds", &says, "start");
    }
    harness.sql("delete from queue.jobs").await;
    enqueue(&harness, "process_massage").await;
    harness
        .assert_only(
            "kinds",
            "fault",
            "process_massage, which no worker and not this program runs",
            "pigeonhole jobs list --kind process_massage",
        )
        .await;
}

#[tokio::test]
async fn a_paused_kind_is_found_with_its_reason_and_resumed() {
    let harness = DoctorHarness::start().await;
    let ran = run(
        &["jobs", "pause", "process_message", "--reason", "a test"],
        &harness.settings,
    )
    .await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mend = "pigeonhole jobs resume process_message";
    harness
        .assert_only("paused", "warning", "0 jobs waiting: a test", mend)
        .await;
    enqueue(&harness, "process_message").await;
    harness
        .assert_only("paused", "fault", "1 jobs waiting: a test", mend)
        .await;
    let ran = run(&["jobs", "resume", "process_message"], &harness.settings).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    harness.assert_well().await;
}

#[tokio::test]
async fn dead_letters_are_a_warning_that_requeueing_fixes() {
    let harness = DoctorHarness::start().await;
    enqueue(&harness, "process_message").await;
    let ran = run(&["jobs", "discard", "1"], &harness.settings).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mend = "pigeonhole jobs requeue --kind process_message";
    harness
        .assert_only(
            "dead_letters",
            "warning",
            "1 jobs of the kind process_message",
            mend,
        )
        .await;
    let ran = run(
        &["jobs", "requeue", "--kind", "process_message"],
        &harness.settings,
    )
    .await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    harness.assert_well().await;
}

#[tokio::test]
async fn a_job_waiting_for_minutes_is_a_warning_and_later_a_fault() {
    let harness = DoctorHarness::start().await;
    enqueue(&harness, "process_message").await;
    harness
        .sql("update queue.jobs set run_at = now() - interval '2 minutes'")
        .await;
    harness
        .assert_only(
            "waiting",
            "warning",
            "available for 2m",
            "start more workers",
        )
        .await;
    harness
        .sql("update queue.jobs set run_at = now() - interval '20 minutes'")
        .await;
    harness
        .assert_only(
            "waiting",
            "fault",
            "available for 20m",
            "start more workers",
        )
        .await;
}
