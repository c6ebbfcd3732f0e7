//! A stop loses nothing and costs nothing.

use std::time::{Duration, Instant};

use queue::{NewJob, RunnerSettings};

use crate::{
    harness::{TestQueue, keys, settings, until},
    script::{Does, Plain, Scripted, plain},
};

const PROMPTLY: Duration = Duration::from_secs(2);

fn grace(grace: Duration) -> RunnerSettings {
    RunnerSettings {
        grace,
        ..settings()
    }
}

const AS_IF_NEVER_CLAIMED: &str = "select count(*) from queue.jobs
    where attempts = 0 and locked_by is null and errors is null and ready";

async fn full_of_held_jobs(queue: &TestQueue, jobs: usize, permits: usize) -> Vec<String> {
    let all = keys("job", jobs);
    queue
        .enqueue_all(
            all.iter()
                .map(|key| plain(key, Does::Hold(Does::Effect.into()))),
        )
        .await;
    until("all permits are taken", async || {
        queue.world.running() == permits
    })
    .await;
    all
}

#[tokio::test]
async fn an_idle_runner_stops_at_once() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Plain>>(settings(), 4).await;
    queue.enqueue(plain("a", Does::Nothing)).await;
    queue.until_empty().await;
    assert!(running.stop().await < Duration::from_secs(1));
}

#[tokio::test]
async fn a_runner_stopped_as_it_starts_stops() {
    let queue = TestQueue::new().await;
    queue.enqueue(plain("a", Does::Effect)).await;
    let running = queue.run::<Scripted<Plain>>(settings(), 4).await;
    running.ask_to_stop();
    assert!(running.stop().await < PROMPTLY);
    let left = queue.number(AS_IF_NEVER_CLAIMED).await;
    assert_eq!(
        left + i64::try_from(queue.effects().await.len()).unwrap(),
        1
    );
}

#[tokio::test]
async fn running_jobs_end_within_the_grace_and_no_other_job_starts() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Plain>>(settings(), 4).await;
    full_of_held_jobs(&queue, 24, 4).await;
    running.ask_to_stop();
    queue.world.open_gate();
    assert!(running.stop().await < PROMPTLY);
    assert_eq!(queue.effects().await.len(), 4);
    assert_eq!(queue.world.starts().len(), 4);
    assert_eq!(queue.number(AS_IF_NEVER_CLAIMED).await, 20);
    assert_eq!(queue.waiting().await, 20);
}

#[tokio::test]
async fn jobs_that_the_grace_cuts_off_are_given_back_without_cost() {
    for short in [Duration::from_millis(200), Duration::ZERO] {
        let queue = TestQueue::new().await;
        let running = queue.run::<Scripted<Plain>>(grace(short), 4).await;
        let all = full_of_held_jobs(&queue, 24, 4).await;
        assert!(running.stop().await < PROMPTLY);
        assert_eq!(queue.world.running(), 0);
        assert_eq!(queue.world.cancelled().len(), 4);
        assert_eq!(queue.number(AS_IF_NEVER_CLAIMED).await, 24, "{short:?}");

        queue.world.open_gate();
        let next = queue.run::<Scripted<Plain>>(settings(), 4).await;
        queue.until_empty().await;
        next.stop().await;
        queue.assert_all_had_their_effect_once(all).await;
    }
}

#[tokio::test]
async fn ten_restarts_charge_no_attempt() {
    let queue = TestQueue::new().await;
    let all = keys("job", 100);
    let pause = Duration::from_millis(60);
    let slow = Does::After(pause, Does::Effect.into());
    queue
        .enqueue_all(all.iter().map(|key| plain(key, slow.clone())))
        .await;
    for restart in 1..=10 {
        let running = queue.run::<Scripted<Plain>>(grace(pause / 4), 8).await;
        until("it is at work", async || queue.world.running() > 0).await;
        if restart % 2 == 0 {
            let done = queue.effects().await.len();
            until("it has done something", async || {
                queue.effects().await.len() > done || queue.waiting().await == 0
            })
            .await;
        }
        assert!(running.stop().await < PROMPTLY);
        assert_eq!(
            queue.number(AS_IF_NEVER_CLAIMED).await,
            queue.waiting().await
        );
    }
    assert!(
        !queue.world.cancelled().is_empty(),
        "no restart cut anything"
    );
    let last = queue.run::<Scripted<Plain>>(settings(), 8).await;
    queue.until_empty().await;
    last.stop().await;
    assert!(queue.world.starts().iter().all(|(_, number)| *number == 1));
    queue.assert_all_had_their_effect_once(all).await;
}

#[tokio::test]
async fn jobs_that_have_not_started_are_given_back_at_once_and_not_after_the_grace() {
    let queue = TestQueue::new().await;
    let running = queue
        .run::<Scripted<Plain>>(grace(Duration::from_secs(20)), 1)
        .await;
    // So many short ones that it fetches ahead.
    queue
        .enqueue_all((0..300).map(|n| plain(format!("short {n}"), Does::Nothing)))
        .await;
    queue.until_empty().await;
    let long = NewJob::of(&plain("long", Does::Hold(Does::Effect.into()))).unwrap();
    let mut batch = vec![long];
    for key in keys("ahead", 100) {
        batch.push(NewJob::of(&plain(key, Does::Effect)).unwrap());
    }
    queue.enqueue_new(&batch).await;
    until("the long one runs and others wait behind it", async || {
        let held = "select count(*) from queue.jobs where locked_by is not null";
        queue.world.running() == 1 && queue.number(held).await > 20
    })
    .await;
    let other = queue.run::<Scripted<Plain>>(settings(), 4).await;
    running.ask_to_stop();
    let asked = Instant::now();
    until("only the long one is left", async || {
        queue.waiting().await == 1
    })
    .await;
    assert!(asked.elapsed() < Duration::from_secs(1), "{asked:?}");
    assert_eq!(queue.effects().await, keys("ahead", 100));
    assert_eq!((queue.world.running(), running.has_ended()), (1, false));
    queue.world.open_gate();
    running.stop().await;
    queue.until_empty().await;
    other.stop().await;
    assert_eq!(queue.effects().await.len(), 101);
    let numbers = queue.world.starts();
    assert!(numbers.iter().all(|(_, number)| *number == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn jobs_that_block_their_threads_do_not_keep_the_runner_from_stopping() {
    let queue = TestQueue::new().await;
    let running = queue
        .run::<Scripted<Plain>>(grace(Duration::from_millis(100)), 2)
        .await;
    let blocks = ["a", "b"].map(|key| plain(key, Does::BlockThread));
    queue.enqueue_all(blocks).await;
    until("they block", async || queue.world.running() == 2).await;
    let took = running.stop().await;
    assert_eq!(queue.world.running(), 2);
    assert!(took < Duration::from_secs(10), "{took:?}");
    queue.world.open_gate(); // or the test's own runtime would not end
    until("they have ended", async || queue.world.running() == 0).await;
    assert_eq!(queue.waiting().await, 2); // their leases run out
}
