//! Lanes: a backlog in one lane does not delay the others.

use std::time::Duration;

use queue::NewJob;

use crate::{
    harness::{TestQueue, keys_run, settings, until},
    script::{Does, Plain, Scripted, plain},
};

const SHORT: Duration = Duration::from_millis(5);

fn new(key: String, does: Does) -> NewJob {
    NewJob::of(&plain(key, does)).unwrap()
}

fn in_lane(lane: &str, count: usize, does: &Does) -> Vec<NewJob> {
    (0..count)
        .map(|n| new(format!("{lane} {n:04}"), does.clone()).lane(lane))
        .collect()
}

/// Asserts that no prefix of what ran, up to `count` jobs, holds more of one lane than of the
/// other, but for `slack`.
fn assert_turns(ran: &[String], lanes: [&str; 2], count: usize, slack: usize) {
    assert!(ran.len() >= count, "{}", ran.len());
    for end in 1..=count {
        let [one, other] = lanes.map(|lane| {
            let of_lane = ran[..end].iter().filter(|key| key.starts_with(lane));
            of_lane.count()
        });
        assert!(one.abs_diff(other) <= slack, "{:?}", &ran[..end]);
    }
}

/// Enqueues one more job while the runner works. Returns how many other jobs started before it.
async fn begun_before(queue: &TestQueue, late: NewJob) -> usize {
    queue.enqueue_new(&[late]).await;
    let begun = queue.world.starts().len();
    until("the late one has begun", async || {
        queue.world.runs_of("late") == 1
    })
    .await;
    let at = keys_run(queue).iter().position(|key| key == "late");
    at.unwrap().saturating_sub(begun)
}

#[tokio::test]
async fn a_job_does_not_wait_for_the_two_thousand_of_another_lane() {
    let queue = TestQueue::new().await;
    let slow = Does::After(SHORT, Does::Nothing.into());
    queue.enqueue_new(&in_lane("big", 2000, &slow)).await;
    let running = queue.run::<Scripted<Plain>>(settings(), 1).await;
    until("it is at work", async || queue.world.starts().len() > 40).await;
    let late = new("late".to_owned(), Does::Nothing).lane("small");
    let before = begun_before(&queue, late).await;
    running.stop().await;
    assert!(before <= 5, "{before}");
    assert!(queue.waiting().await > 1000);
}

#[tokio::test]
async fn a_job_without_a_lane_does_not_wait_for_a_backlog_in_one() {
    let queue = TestQueue::new().await;
    let slow = Does::After(SHORT, Does::Nothing.into());
    queue.enqueue_new(&in_lane("big", 500, &slow)).await;
    let running = queue.run::<Scripted<Plain>>(settings(), 1).await;
    until("it is at work", async || queue.world.starts().len() > 40).await;
    let before = begun_before(&queue, new("late".to_owned(), Does::Nothing)).await;
    running.stop().await;
    assert!(before <= 5, "{before}");
}

#[tokio::test]
async fn two_lanes_with_backlogs_take_turns() {
    let queue = TestQueue::new().await;
    queue.enqueue_new(&in_lane("a", 100, &Does::Nothing)).await;
    queue.enqueue_new(&in_lane("b", 100, &Does::Nothing)).await;
    let running = queue.run::<Scripted<Plain>>(settings(), 1).await;
    queue.until_empty().await;
    running.stop().await;
    assert_turns(&keys_run(&queue), ["a", "b"], 200, 1);
}

#[tokio::test]
async fn lanes_take_turns_inside_one_batch_and_each_keeps_its_own_order() {
    let queue = TestQueue::new().await;
    let mut batch = in_lane("a", 30, &Does::Nothing);
    batch.extend(in_lane("b", 30, &Does::Nothing));
    batch.push(new("none".to_owned(), Does::Nothing));
    queue.enqueue_new(&batch).await;
    let running = queue.run::<Scripted<Plain>>(settings(), 1).await;
    queue.until_empty().await;
    running.stop().await;
    let ran = keys_run(&queue);
    assert_turns(&ran, ["a", "b"], 61, 1);
    assert!(ran.iter().position(|key| key == "none").unwrap() <= 2);
    for lane in ["a", "b"] {
        let of_lane: Vec<_> = ran.iter().filter(|key| key.starts_with(lane)).collect();
        assert!(of_lane.is_sorted());
    }
}

#[tokio::test]
async fn jobs_of_a_lane_that_are_enqueued_one_by_one_get_positions_behind_each_other() {
    let queue = TestQueue::new().await;
    for job in in_lane("a", 10, &Does::Nothing) {
        queue.enqueue_new(&[job]).await;
    }
    for job in in_lane("b", 10, &Does::Nothing) {
        queue.enqueue_new(&[job]).await;
    }
    let running = queue.run::<Scripted<Plain>>(settings(), 1).await;
    queue.until_empty().await;
    running.stop().await;
    assert_turns(&keys_run(&queue), ["a", "b"], 20, 1);
}

#[tokio::test]
async fn a_lane_whose_jobs_all_return_from_a_failure_delays_no_other_lane() {
    let queue = TestQueue::new().await;
    let fails = Does::FailOnce(3_600_000);
    queue.enqueue_new(&in_lane("big", 300, &fails)).await;
    let running = queue.run::<Scripted<Plain>>(settings(), 8).await;
    until("all have failed", async || {
        queue.number("select count(*) from given_back").await == 300
    })
    .await;
    running.stop().await;
    // All are due at one time, some while ago.
    queue
        .execute("update queue.jobs set run_at = now() - interval '1 minute'")
        .await;
    let begun = queue.world.starts().len();
    let running = queue.run::<Scripted<Plain>>(settings(), 1).await;
    until("some run again", async || {
        queue.world.starts().len() > begun + 10
    })
    .await;
    let late = new("late".to_owned(), Does::Nothing).lane("small");
    let before = begun_before(&queue, late).await;
    running.stop().await;
    assert!(before <= 20, "{before}");
    assert!(queue.waiting().await > 100);
}

#[tokio::test]
async fn a_job_of_a_lane_that_is_given_back_keeps_its_turn() {
    let queue = TestQueue::new().await;
    let held = Does::Hold(Does::Nothing.into());
    queue.enqueue_new(&in_lane("a", 20, &held)).await;
    let mut hasty = settings();
    hasty.grace = Duration::ZERO;
    let running = queue.run::<Scripted<Plain>>(hasty, 10).await;
    until("they run", async || queue.world.running() == 10).await;
    running.stop().await;
    queue.enqueue_new(&in_lane("b", 10, &held)).await;
    queue.world.open_gate();
    let begun = queue.world.starts().len();
    let running = queue.run::<Scripted<Plain>>(settings(), 1).await;
    queue.until_empty().await;
    running.stop().await;
    assert_turns(&keys_run(&queue)[begun..], ["a", "b"], 20, 1);
}
