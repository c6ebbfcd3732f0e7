//! Pausing a kind holds for all processes.

use std::time::{Duration, Instant};

use queue::{Waker, admin};

use crate::{
    harness::{Running, TestQueue, settings, until},
    script::{Does, Other, Plain, Scripted, other, plain},
    waking::{hardly_polling, until_listening},
};

async fn pause(queue: &TestQueue) {
    let mut conn = queue.pool.acquire().await.unwrap();
    let paused = admin::pause(&mut conn, "plain", Some("a test")).await;
    assert!(paused.unwrap().changed);
}

async fn resume(queue: &TestQueue) {
    let mut conn = queue.pool.acquire().await.unwrap();
    assert!(admin::resume(&mut conn, "plain").await.unwrap().changed);
}

#[tokio::test]
async fn a_pause_lets_running_jobs_end_and_starts_no_other_in_any_process() {
    let queue = TestQueue::new().await;
    let mut runners = Vec::new();
    for _ in 0..2 {
        let runner = queue.runner(settings()).await;
        let runner = runner.register::<Scripted<Plain>, _>(queue.world.clone(), 2);
        runners.push(Running::start(
            runner.register::<Scripted<Other>, _>(queue.world.clone(), 2),
        ));
    }
    queue
        .enqueue_all((0..4).map(|n| plain(format!("held {n}"), Does::Hold(Does::Effect.into()))))
        .await;
    until("all permits are taken", async || queue.world.running() == 4).await;
    pause(&queue).await;
    queue
        .enqueue_all((0..4).map(|n| plain(format!("later {n}"), Does::Effect)))
        .await;
    queue.world.open_gate();
    until("the running ones have ended", async || {
        queue.effects().await.len() == 4
    })
    .await;

    // Another kind goes on; by the time that many of it have run, the paused one would have too.
    for n in 0..10 {
        queue
            .enqueue(other(format!("other {n}"), Does::Effect))
            .await;
        let so_far = 5 + n;
        until("the other kind goes on", async || {
            queue.effects().await.len() == so_far
        })
        .await;
    }
    let started = queue.world.starts();
    assert!(!started.iter().any(|(key, _)| key.starts_with("later")));

    resume(&queue).await;
    queue.until_empty().await;
    for running in runners {
        running.stop().await;
    }
    assert_eq!(queue.effects().await.len(), 18);
}

#[tokio::test]
async fn a_resumed_kind_starts_at_once_when_the_workers_are_woken() {
    let queue = TestQueue::new().await;
    pause(&queue).await;
    queue.enqueue(plain("a", Does::Nothing)).await;
    let running = queue.run::<Scripted<Plain>>(hardly_polling(), 1).await;
    until_listening(&queue, 1).await;
    let waker = Waker::start(&queue.pool);
    resume(&queue).await;
    let since = Instant::now();
    waker.wake();
    queue.until_empty().await;
    assert!(since.elapsed() < Duration::from_secs(3), "{since:?}");
    running.stop().await;
}
