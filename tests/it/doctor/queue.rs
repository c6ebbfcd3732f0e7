//! The queue, and who works on it.

use super::Rig;
use crate::{
    process::{Process, run},
    wait::{PATIENCE, eventually},
};

async fn enqueue(rig: &Rig, kind: &str) {
    sqlx::query("insert into queue.jobs (kind, max_attempts, args) values ($1, 1, '{}')")
        .bind(kind)
        .execute(&rig.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_queue_without_workers_is_found_until_one_is_started() {
    let rig = Rig::start().await;
    rig.sql("delete from queue.workers").await;
    enqueue(&rig, "process_message").await;
    rig.assert_only(
        "workers",
        "fault",
        "no worker is at work",
        "pigeonhole worker",
    )
    .await;
    rig.sql("delete from queue.jobs").await;

    let _worker = Process::start("worker", &rig.settings);
    eventually("all is well", PATIENCE, async || {
        (rig.doctor(&[]).await.code == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_vanished_is_a_warning() {
    let rig = Rig::start().await;
    rig.sql(
        "insert into queue.workers values ('gone', now(), now() - interval '1 minute', '{process_message}', 1, 0)",
    )
    .await;
    rig.assert_only(
        "workers",
        "warning",
        "1 workers have given no sign",
        "pigeonhole jobs workers",
    )
    .await;
}

#[tokio::test]
async fn every_kind_that_a_worker_runs_is_known_and_another_is_a_fault() {
    let rig = Rig::start().await;
    rig.sql("delete from queue.workers").await;
    let worker = Process::start("worker", &rig.settings);
    let kinds = eventually("the worker is there", PATIENCE, async || {
        let kinds: Option<Vec<String>> = sqlx::query_scalar("select kinds from queue.workers")
            .fetch_optional(&rig.pool)
            .await
            .unwrap();
        kinds
    })
    .await;
    worker.kill();
    // Somebody who knows none of them is at work.
    rig.sql("delete from queue.jobs; update queue.workers set kinds = '{}', seen_at = now() + interval '1 day'")
        .await;
    for kind in &kinds {
        enqueue(&rig, kind).await;
    }
    let diagnosis = rig.doctor(&[]).await;
    assert_eq!(kinds.len(), 10);
    for kind in &kinds {
        let says = format!("1 jobs of the kind {kind}, which no worker knows");
        diagnosis.assert_names("kinds", &says, "start");
    }
    rig.sql("delete from queue.jobs").await;
    enqueue(&rig, "process_massage").await;
    rig.assert_only(
        "kinds",
        "fault",
        "process_massage, which no worker, nor this program, knows",
        "pigeonhole jobs list --kind process_massage",
    )
    .await;
}

#[tokio::test]
async fn a_paused_kind_is_found_with_its_reason_and_resumed() {
    let rig = Rig::start().await;
    let ran = run(
        &["jobs", "pause", "process_message", "--reason", "a test"],
        &rig.settings,
    )
    .await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mend = "pigeonhole jobs resume process_message";
    rig.assert_only("paused", "warning", "0 jobs waiting: a test", mend)
        .await;
    enqueue(&rig, "process_message").await;
    rig.assert_only("paused", "fault", "1 jobs waiting: a test", mend)
        .await;
    let ran = run(&["jobs", "resume", "process_message"], &rig.settings).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    rig.assert_well().await;
}

#[tokio::test]
async fn dead_letters_are_a_warning_that_requeueing_mends() {
    let rig = Rig::start().await;
    enqueue(&rig, "process_message").await;
    let ran = run(&["jobs", "discard", "1"], &rig.settings).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mend = "pigeonhole jobs requeue --kind process_message";
    rig.assert_only(
        "dead_letters",
        "warning",
        "1 jobs of the kind process_message",
        mend,
    )
    .await;
    let ran = run(
        &["jobs", "requeue", "--kind", "process_message"],
        &rig.settings,
    )
    .await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    rig.assert_well().await;
}

#[tokio::test]
async fn a_job_that_waits_for_minutes_is_a_warning_and_longer_a_fault() {
    let rig = Rig::start().await;
    enqueue(&rig, "process_message").await;
    rig.sql("update queue.jobs set run_at = now() - interval '2 minutes'")
        .await;
    rig.assert_only(
        "waiting",
        "warning",
        "available for 2m",
        "start more workers",
    )
    .await;
    rig.sql("update queue.jobs set run_at = now() - interval '20 minutes'")
        .await;
    rig.assert_only(
        "waiting",
        "fault",
        "available for 20m",
        "start more workers",
    )
    .await;
}
