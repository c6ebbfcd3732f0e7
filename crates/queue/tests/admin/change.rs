//! What operators do to jobs.

use queue::{
    NewJob,
    admin::{self, DeadLetterFilter, JobChange, JobFilter, JobState},
};

use crate::harness::{AdminHarness, Letter, of_state, results};

#[tokio::test]
async fn a_retried_job_is_available_now_and_keeps_its_attempts() {
    let queue = AdminHarness::start().await;
    let id = queue.failed("timed out").await;
    assert_eq!(results(&queue.retry(&[id]).await), [JobChange::Done]);
    let job = queue.show(id).await.unwrap();
    assert_eq!(
        (job.state, job.attempts, job.errors.len()),
        (JobState::Available, 1, 1)
    );
    assert!(job.due_at.unwrap() <= job.at);
}

#[tokio::test]
async fn a_retry_changes_only_scheduled_jobs() {
    let queue = AdminHarness::start().await;
    let available = queue.job().await;
    let running = queue.running().await;
    let dead = queue.dead("gone").await;
    let changed = queue
        .retry(&[running, dead, 999_999, available, running])
        .await;
    let expected = [
        JobChange::Running,
        JobChange::Dead,
        JobChange::NotFound,
        JobChange::AlreadyAvailable,
    ];
    assert_eq!(results(&changed), expected);
    assert_eq!(changed[0].worker.as_deref(), Some("host:1"));
    assert_eq!(queue.state(running).await, JobState::Running);
}

#[tokio::test]
async fn a_job_whose_lease_has_run_out_counts_as_scheduled() {
    let queue = AdminHarness::start().await;
    let id = queue.running().await;
    queue
        .run("update queue.jobs set run_at = now() - interval '1 s'")
        .await;
    assert_eq!(results(&queue.retry(&[id]).await), [JobChange::Done]);
    assert_eq!(queue.show(id).await.unwrap().worker, None);
}

#[tokio::test]
async fn a_job_that_an_operator_discards_is_a_dead_letter() {
    let queue = AdminHarness::start().await;
    let (available, scheduled) = (queue.job().await, queue.failed("timed out").await);
    let dead = queue.dead("gone").await;
    let changed = queue
        .discard(&[available, scheduled, dead, 999_999], false)
        .await;
    assert_eq!(
        results(&changed),
        [
            JobChange::Done,
            JobChange::Done,
            JobChange::Dead,
            JobChange::NotFound
        ]
    );
    let job = queue.show(scheduled).await.unwrap();
    assert_eq!(
        (job.reason.as_deref(), job.attempts),
        (Some("by_operator"), 1)
    );
    let listed = queue
        .list(JobFilter {
            limit: 10,
            ..of_state(JobState::Dead)
        })
        .await;
    assert_eq!(listed.jobs[1].last_error.as_deref(), Some("timed out"));
}

#[tokio::test]
async fn a_running_job_is_discarded_only_by_force() {
    let queue = AdminHarness::start().await;
    let id = queue.running().await;
    assert_eq!(
        results(&queue.discard(&[id], false).await),
        [JobChange::Running]
    );
    assert_eq!(queue.state(id).await, JobState::Running);
    assert_eq!(
        results(&queue.discard(&[id], true).await),
        [JobChange::Done]
    );
    assert_eq!(queue.state(id).await, JobState::Dead);
}

#[tokio::test]
async fn a_worker_that_lost_a_job_cannot_write_to_it_after_a_requeue() {
    let queue = AdminHarness::start().await;
    let id = queue.running().await;
    let before = queue.show(id).await.unwrap().claims;
    queue.discard(&[id], true).await;
    queue.requeue(&[id]).await;
    queue
        .run("update queue.jobs set claim = claim + 1, ready = false, locked_by = 'host:2'")
        .await;
    assert!(queue.show(id).await.unwrap().claims > before);
}

#[tokio::test]
async fn a_requeued_dead_letter_starts_at_zero_attempts_and_keeps_its_errors() {
    let queue = AdminHarness::start().await;
    let id = queue.dead("gone").await;
    let live = queue.job().await;
    let requeued = queue.requeue(&[id, live, 999_999, id]).await;
    assert_eq!(
        (requeued.requeued, requeued.not_dead),
        (1, vec![live, 999_999])
    );
    let job = queue.show(id).await.unwrap();
    assert_eq!(
        (job.state, job.attempts, job.max_attempts),
        (JobState::Available, 0, 3)
    );
    assert_eq!(job.errors[0].error, "gone");
    assert!(queue.ids(of_state(JobState::Dead)).await.is_empty());
}

#[tokio::test]
async fn a_dead_letter_whose_key_is_taken_stays() {
    let queue = AdminHarness::start().await;
    let first = queue.keyed("k").await;
    queue.discard(&[first], false).await;
    let second = queue.keyed("k").await;
    queue.discard(&[second], false).await;
    let requeued = queue.requeue(&[first, second]).await;
    assert_eq!((requeued.requeued, requeued.key_taken), (1, vec![second]));
    assert_eq!(queue.state(second).await, JobState::Dead);
    let (requeued, next) = queue
        .requeue_all(&DeadLetterFilter::default(), 10, None)
        .await;
    assert_eq!(
        (requeued.requeued, requeued.key_taken, next),
        (0, vec![second], None)
    );
}

#[tokio::test]
async fn requeued_jobs_of_one_lane_get_positions_behind_each_other() {
    let queue = AdminHarness::start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(
            queue
                .enqueue(NewJob::of(&Letter { number: 7 }).unwrap().lane("anna"))
                .await,
        );
    }
    queue.discard(&ids, false).await;
    queue.requeue(&ids).await;
    let span: i64 = sqlx::query_scalar(
        "select extract(epoch from max(position) - min(position))::bigint from queue.jobs where lane = 'anna'",
    )
    .fetch_one(&queue.pool)
    .await
    .unwrap();
    assert_eq!(span, 2);
}

#[tokio::test]
async fn a_bulk_requeue_changes_only_dead_letters_that_its_filter_matches() {
    let queue = AdminHarness::start().await;
    let old = queue.dead("Connection refused").await;
    queue
        .run("update queue.dead_jobs set died_at = '2026-01-01'")
        .await;
    let (refused, other) = (
        queue.dead("connection refused").await,
        queue.dead("gone").await,
    );
    let none = DeadLetterFilter {
        kind: Some("other".to_owned()),
        ..DeadLetterFilter::default()
    };
    assert_eq!(queue.requeue_all(&none, 10, None).await.0.requeued, 0);
    let before = "2026-01-02T00:00:00Z".parse().ok();
    let by_time = DeadLetterFilter {
        before,
        ..DeadLetterFilter::default()
    };
    assert_eq!(queue.requeue_all(&by_time, 10, None).await.0.requeued, 1);
    assert_eq!(queue.state(old).await, JobState::Available);
    let error = Some("REFUSED".to_owned());
    let by_error = DeadLetterFilter {
        error,
        kind: Some("letter".to_owned()),
        ..DeadLetterFilter::default()
    };
    assert_eq!(queue.requeue_all(&by_error, 10, None).await.0.requeued, 1);
    assert_eq!(queue.state(refused).await, JobState::Available);
    assert_eq!(queue.state(other).await, JobState::Dead);
}

#[tokio::test]
async fn a_bulk_requeue_can_begin_at_a_time() {
    let queue = AdminHarness::start().await;
    let old = queue.dead("gone").await;
    queue
        .run("update queue.dead_jobs set died_at = '2026-01-01'")
        .await;
    let young = queue.dead("gone").await;
    let after = |time: &str| DeadLetterFilter {
        after: time.parse().ok(),
        ..DeadLetterFilter::default()
    };
    let (requeued, _) = queue
        .requeue_all(&after("2026-01-01T00:00:01Z"), 10, None)
        .await;
    assert_eq!(requeued.requeued, 1);
    assert_eq!(queue.state(young).await, JobState::Available);
    let (requeued, _) = queue
        .requeue_all(&after("2026-01-01T00:00:00Z"), 10, None)
        .await;
    assert_eq!(requeued.requeued, 1);
    assert_eq!(queue.state(old).await, JobState::Available);
}

#[tokio::test]
async fn a_bulk_requeue_continues_where_it_stopped_and_skips_dead_letters_that_stay() {
    let queue = AdminHarness::start().await;
    let stays = queue.keyed("k").await;
    queue.discard(&[stays], false).await;
    queue.keyed("k").await;
    for _ in 0..4 {
        queue.dead("gone").await;
    }
    let filter = DeadLetterFilter::default();
    let (first, next) = queue.requeue_all(&filter, 2, None).await;
    assert_eq!((first.requeued, first.key_taken), (1, vec![stays]));
    let (second, next) = queue.requeue_all(&filter, 2, next).await;
    assert_eq!(second.requeued, 2);
    let (third, next) = queue.requeue_all(&filter, 2, next).await;
    assert_eq!((third.requeued, next), (1, None));
}

#[tokio::test]
async fn pausing_and_resuming_say_whether_that_changed_anything() {
    let queue = AdminHarness::start().await;
    queue.job().await;
    let mut conn = queue.pool.acquire().await.unwrap();
    let paused = admin::pause(&mut conn, "letter", None).await.unwrap();
    assert!(paused.changed && paused.known);
    let again = admin::pause(&mut conn, "letter", Some("the printer is on fire"))
        .await
        .unwrap();
    assert!(!again.changed);
    let stats = queue.stats().await;
    assert_eq!(
        stats.kinds[0].paused_reason.as_deref(),
        Some("the printer is on fire")
    );
    assert!(admin::resume(&mut conn, "letter").await.unwrap().changed);
    assert!(!admin::resume(&mut conn, "letter").await.unwrap().changed);
    assert!(!admin::pause(&mut conn, "lettre", None).await.unwrap().known);
}
