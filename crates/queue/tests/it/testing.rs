//! [`queue::testing`]: the queue in the hands of a test.

use std::time::Duration;

use queue::{
    NewJob, Priority,
    testing::{FinishedAttempt, JobOutcome, TestQueue as Manual},
};

use crate::{
    harness::TestQueue,
    script::{Deadly, Does, Other, Plain, Scripted, other, plain},
};

fn manual(queue: &TestQueue) -> Manual {
    Manual::new(queue.pool.clone())
        .register::<Scripted<Plain>, _>(queue.world.clone())
        .register::<Scripted<Other>, _>(queue.world.clone())
        .register::<Scripted<Deadly>, _>(queue.world.clone())
}

fn outcomes(ran: Vec<FinishedAttempt>) -> Vec<JobOutcome> {
    ran.into_iter().map(|ran| ran.outcome).collect()
}

#[tokio::test]
async fn jobs_run_on_request_in_the_order_of_the_queue_over_all_kinds() {
    let queue = TestQueue::new().await;
    let manual = manual(&queue);
    assert_eq!(manual.run_one().await, None);
    let first = queue.enqueue(plain("first", Does::Effect)).await;
    let second = queue.enqueue(other("second", Does::Nothing)).await;
    let high = NewJob::of(&plain("high", Does::Nothing)).unwrap();
    let high = queue.enqueue_new(&[high.priority(Priority::HIGH)]).await[0].unwrap();
    let completed = |kind, id| FinishedAttempt {
        kind,
        id,
        attempt: 1,
        outcome: JobOutcome::Completed,
    };
    assert_eq!(queue.world.starts(), []);
    assert_eq!(manual.run_one().await, Some(completed("plain", high)));
    let rest = [completed("plain", first), completed("other", second)];
    assert_eq!(manual.drain().await, rest);
    assert_eq!(queue.effects().await, ["first"]);
    manual.assert_empty().await;
}

#[tokio::test]
async fn each_attempt_returns_its_outcome() {
    let queue = TestQueue::new().await;
    let manual = manual(&queue);
    let text = || "no".to_owned();
    let delay = Duration::from_secs(90);
    for does in [
        Does::Fail(text(), Some(delay)),
        Does::Snooze(delay),
        Does::Discard(text()),
    ] {
        queue.enqueue(plain("a", does)).await;
    }
    let expected = [
        JobOutcome::Retried {
            delay,
            error: text(),
        },
        JobOutcome::Snoozed { delay },
        JobOutcome::DeadLetter {
            reason: "discarded",
            error: text(),
        },
    ];
    assert_eq!(outcomes(manual.drain().await), expected);
    assert_eq!((queue.waiting().await, queue.dead().await), (2, 1));
    queue
        .execute("insert into queue.jobs (kind, max_attempts, args) values ('plain', 12, 'null')")
        .await;
    let undecodable = manual.run_one().await.unwrap();
    assert!(matches!(
        undecodable.outcome,
        JobOutcome::DeadLetter {
            reason: "undecodable",
            ..
        }
    ));
}

#[tokio::test]
async fn an_attempt_whose_job_was_claimed_again_meanwhile_has_lost_its_lease() {
    for does in [Does::Nothing, Does::Effect, Does::Snooze(Duration::ZERO)] {
        let queue = TestQueue::new().await;
        let manual = manual(&queue);
        queue.enqueue(plain("a", Does::Hold(does.into()))).await;
        let (ran, ()) = tokio::join!(manual.run_one(), async {
            crate::harness::until("it runs", async || queue.world.running() == 1).await;
            queue.execute("delete from queue.jobs").await;
            queue.world.open_gate();
        });
        assert_eq!(ran.unwrap().outcome, JobOutcome::LeaseLost);
        assert_eq!(queue.effects().await, [""; 0]);
        manual.assert_empty().await;
    }
}

#[tokio::test]
async fn time_passes_when_the_test_says_so() {
    let queue = TestQueue::new().await;
    let manual = manual(&queue);
    let hour = Duration::from_hours(1);
    let later = NewJob::of(&plain("delayed", Does::Nothing))
        .unwrap()
        .delay(hour);
    queue.enqueue_new(&[later]).await;
    queue
        .enqueue(plain("retried", Does::FailOnce(7_200_000)))
        .await;
    assert_eq!(manual.drain().await.len(), 1);
    manual.advance(Duration::from_secs(3595)).await;
    assert_eq!(manual.drain().await, []);
    manual.advance(Duration::from_secs(5)).await;
    assert_eq!(outcomes(manual.drain().await), [JobOutcome::Completed]);
    manual.advance(hour).await;
    let ran = manual.run_one().await.unwrap();
    assert_eq!((ran.attempt, ran.outcome), (2, JobOutcome::Completed));
    manual.assert_empty().await;
}

#[tokio::test]
async fn a_job_of_a_dead_worker_is_ready_after_its_lease_and_finally_a_dead_letter() {
    let queue = TestQueue::new().await;
    let manual = manual(&queue);
    queue
        .enqueue(Scripted::<Deadly>::new("poison", Does::Nothing))
        .await;
    // What three workers that died have left behind.
    queue
        .execute(
            "update queue.jobs set ready = false, claim = 3, attempts = 3, locked_by = 'dead',
                 run_at = now() + interval '30 seconds'",
        )
        .await;
    manual.advance(Duration::from_secs(29)).await;
    assert_eq!(manual.run_one().await, None);
    manual.advance(Duration::from_secs(1)).await;
    let ran = manual.run_one().await.unwrap();
    let JobOutcome::DeadLetter { reason, .. } = ran.outcome else {
        panic!("{ran:?}");
    };
    assert_eq!((reason, ran.attempt), ("attempts_exhausted", 4));
    assert_eq!(queue.world.starts(), []);
}

#[tokio::test]
async fn schedules_become_due_as_time_passes() {
    let queue = TestQueue::new().await;
    let manual = manual(&queue)
        .schedule("tick", "0 * * * *", &plain("tick", Does::Nothing))
        .unwrap();
    assert_eq!(manual.drain().await, []);
    for _ in 0..3 {
        manual.advance(Duration::from_hours(1)).await;
        assert_eq!(outcomes(manual.drain().await), [JobOutcome::Completed]);
    }
    assert!(
        Manual::new(queue.pool.clone())
            .schedule("bad", "soon", &plain("bad", Does::Nothing))
            .is_err()
    );
}

#[tokio::test]
async fn enqueued_jobs_can_be_read_and_remaining_jobs_are_reported() {
    let queue = TestQueue::new().await;
    let manual = manual(&queue);
    let new = |key: &str| NewJob::of(&plain(key, Does::Nothing)).unwrap();
    queue
        .enqueue_new(&[
            new("later").delay(Duration::from_mins(1)),
            new("low").priority(Priority::LOW),
            new("normal"),
        ])
        .await;
    queue.enqueue(other("of another kind", Does::Nothing)).await;
    let jobs = manual.enqueued::<Scripted<Plain>>().await;
    let keys: Vec<_> = jobs.iter().map(Scripted::key).collect();
    assert_eq!(keys, ["normal", "low", "later"]);
    manual.drain().await;
    let checked = tokio::spawn(async move { manual.assert_empty().await }).await;
    let panic = checked.unwrap_err().into_panic();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("plain 1: scheduled"), "{text}");
}

#[tokio::test]
async fn a_paused_kind_does_not_run_and_an_unregistered_kind_stays() {
    let queue = TestQueue::new().await;
    let manual =
        Manual::new(queue.pool.clone()).register::<Scripted<Plain>, _>(queue.world.clone());
    queue.enqueue(other("foreign", Does::Nothing)).await;
    queue.enqueue(plain("paused", Does::Nothing)).await;
    queue
        .execute("insert into queue.paused (kind) values ('plain')")
        .await;
    assert_eq!(manual.drain().await, []);
    queue.execute("delete from queue.paused").await;
    assert_eq!(manual.drain().await.len(), 1);
    assert_eq!(queue.waiting().await, 1);
}
