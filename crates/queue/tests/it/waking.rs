//! Wake-ups: polls are half a minute apart, so a job that starts soon was woken.

use std::time::{Duration, Instant};

use queue::{NewJob, RunnerSettings, Waker};

use crate::{
    harness::{TestQueue, settings, until},
    script::{Does, Plain, Scripted, plain},
};

/// Far more than a wake-up takes on a busy machine, far less than a poll.
const SOON: Duration = Duration::from_secs(5);

const LISTENERS: &str = "select count(*) from pg_stat_activity
    where datname = current_database() and state = 'idle'
        and (query ilike 'listen%' or query like 'select pg_notify(%where%')";

/// Waits until this many runners listen.
pub(crate) async fn until_listening(queue: &TestQueue, runners: i64) {
    until("the runners listen", async || {
        queue.number(LISTENERS).await == runners
    })
    .await;
    // They look for jobs once when they begin to listen.
    tokio::time::sleep(Duration::from_millis(200)).await;
}

pub(crate) fn hardly_polling() -> RunnerSettings {
    RunnerSettings {
        poll: Duration::from_secs(30),
        slow_poll: Duration::from_secs(30),
        ..settings()
    }
}

#[tokio::test]
async fn a_job_starts_within_milliseconds_of_its_commit() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Plain>>(hardly_polling(), 4).await;
    until_listening(&queue, 1).await;
    let waker = Waker::start(&queue.pool);
    let mut took = Vec::new();
    for n in 0..20 {
        queue.enqueue(plain(format!("{n}"), Does::Nothing)).await;
        let since = Instant::now();
        waker.wake();
        while queue.world.runs_of(&format!("{n}")) == 0 {
            assert!(since.elapsed() < SOON, "{n}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        took.push(since.elapsed());
    }
    running.stop().await;
    took.sort_unstable();
    assert!(took[10] < Duration::from_millis(100), "{took:?}");
}

#[tokio::test]
async fn no_wake_up_is_lost_among_many_at_once() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Plain>>(hardly_polling(), 4).await;
    until_listening(&queue, 1).await;
    let waker = Waker::start(&queue.pool);
    for n in 0..200 {
        queue.enqueue(plain(format!("{n}"), Does::Nothing)).await;
        waker.wake();
        if n % 20 == 0 {
            tokio::time::sleep(Duration::from_millis(n % 7)).await;
        }
    }
    let since = Instant::now();
    queue.until_empty().await;
    assert!(since.elapsed() < SOON, "{since:?}");
    running.stop().await;
}

#[tokio::test]
async fn a_lost_listener_is_replaced_and_jobs_enqueued_meanwhile_are_found() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Plain>>(hardly_polling(), 4).await;
    let waker = Waker::start(&queue.pool);
    for round in 0..2 {
        until_listening(&queue, 1).await;
        let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                   where datname = current_database() and pid <> pg_backend_pid()
                       and (query ilike 'listen%' or query like 'select pg_notify(%where%')";
        assert_eq!(queue.number(cut).await, 1);
        let since = Instant::now();
        queue
            .enqueue(plain(format!("unheard {round}"), Does::Nothing))
            .await;
        queue.until_empty().await;
        assert!(since.elapsed() < SOON, "{since:?}");
        until_listening(&queue, 1).await;
        let since = Instant::now();
        queue
            .enqueue(plain(format!("heard {round}"), Does::Nothing))
            .await;
        waker.wake();
        queue.until_empty().await;
        assert!(since.elapsed() < SOON, "{since:?}");
    }
    running.stop().await;
}

#[tokio::test]
async fn without_notifications_a_job_waits_no_longer_than_a_poll() {
    let queue = TestQueue::new().await;
    let slow_poll = Duration::from_millis(800);
    let settings = RunnerSettings {
        slow_poll,
        ..hardly_polling()
    };
    let running = queue.run::<Scripted<Plain>>(settings, 4).await;
    until_listening(&queue, 1).await;
    for n in 0..3 {
        queue.enqueue(plain(format!("{n}"), Does::Nothing)).await;
        let since = Instant::now();
        queue.until_empty().await;
        assert!(since.elapsed() < 2 * slow_poll, "{since:?}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_job_whose_time_has_come_starts_without_waiting_for_a_poll() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Plain>>(hardly_polling(), 4).await;
    until_listening(&queue, 1).await;
    let delayed = NewJob::of(&plain("delayed", Does::FailOnce(300))).unwrap();
    queue
        .enqueue_new(&[delayed.delay(Duration::from_millis(300))])
        .await;
    let since = Instant::now();
    queue.until_empty().await;
    assert!(since.elapsed() < SOON, "{since:?}");
    running.stop().await;
}
