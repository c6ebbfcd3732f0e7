//! Which job runs when, how many at once, and what an idle runner costs.

use std::time::{Duration, Instant};

use queue::{NewJob, Priority, Runner, RunnerSettings};

use crate::{
    harness::{Running, TestQueue, connect, keys, settings, until},
    script::{Does, Other, Plain, Scripted, other, plain},
    way::Way,
};

#[tokio::test]
async fn the_job_due_longest_runs_first() {
    let queue = TestQueue::new().await;
    queue
        .enqueue_all(
            keys("", 20)
                .into_iter()
                .map(|key| plain(key, Does::Nothing)),
        )
        .await;
    queue
        .execute("update queue.jobs set position = now() - make_interval(secs => (id * 7) % 20)")
        .await;
    let due: Vec<String> =
        sqlx::query_scalar("select args ->> 'key' from queue.jobs order by position, id")
            .fetch_all(&queue.pool)
            .await
            .unwrap();
    let running = queue.run::<Scripted<Plain>>(settings(), 1).await;
    queue.until_empty().await;
    running.stop().await;
    let ran: Vec<_> = queue
        .world
        .starts()
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    assert_eq!(ran, due);
}

#[tokio::test]
async fn a_job_does_not_run_before_it_is_due() {
    let queue = TestQueue::new().await;
    let id = queue.enqueue(plain("later", Does::Nothing)).await;
    queue
        .execute("update queue.jobs set ready = false, run_at = now() + interval '1 hour'")
        .await;
    let running = queue.run::<Scripted<Plain>>(settings(), 4).await;
    queue.enqueue(plain("now", Does::Nothing)).await;
    until("the other one ran", async || queue.waiting().await == 1).await;
    assert_eq!(queue.row(id).await.unwrap().claim, 0);
    queue.execute("update queue.jobs set run_at = now()").await;
    queue.until_empty().await;
    running.stop().await;
}

#[tokio::test]
async fn a_kind_without_free_permits_does_not_stop_another() {
    let queue = TestQueue::new().await;
    let runner = queue.runner(settings()).await;
    let running = Running::start(
        runner
            .register::<Scripted<Plain>, _>(queue.world.clone(), 2)
            .register::<Scripted<Other>, _>(queue.world.clone(), 2),
    );
    queue
        .enqueue_all((0..10).map(|n| plain(format!("held {n}"), Does::Hold(Does::Effect.into()))))
        .await;
    until("the permits are taken", async || queue.world.running() == 2).await;
    let free = keys("free", 50);
    queue
        .enqueue_all(free.iter().map(|key| other(key, Does::Effect)))
        .await;
    until("the other kind is done", async || {
        queue.waiting().await == 10
    })
    .await;
    assert_eq!(queue.effects().await, free);
    queue.world.open_gate();
    queue.until_empty().await;
    running.stop().await;
}

#[tokio::test]
async fn jobs_of_an_unregistered_kind_stay_in_the_queue() {
    let queue = TestQueue::new().await;
    let id = queue.enqueue(other("foreign", Does::Nothing)).await;
    queue.enqueue(plain("ours", Does::Nothing)).await;
    let running = queue.run::<Scripted<Plain>>(settings(), 4).await;
    until("ours ran", async || queue.waiting().await == 1).await;
    running.stop().await;
    let row = queue.row(id).await.unwrap();
    assert_eq!((row.claim, row.attempts), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_jobs_of_a_kind_run_at_once_than_its_concurrency() {
    let queue = TestQueue::new().await;
    let pause = Duration::from_millis(3);
    queue
        .enqueue_all(
            (0..200).map(|n| plain(format!("{n}"), Does::After(pause, Does::Nothing.into()))),
        )
        .await;
    let running = queue.run::<Scripted<Plain>>(settings(), 5).await;
    queue.until_empty().await;
    running.stop().await;
    assert_eq!(queue.world.starts().len(), 200);
    assert_eq!(queue.world.most_at_once(), 5);
}

/// Beginning with the snapshot of a report that takes long, which keeps ended jobs from being
/// cleared away.
#[tokio::test]
async fn a_job_with_priority_is_found_in_time_behind_the_dead_rows_of_an_old_snapshot() {
    let queue = TestQueue::new().await;
    let mut report = queue.pool.begin().await.unwrap();
    sqlx::raw_sql(
        "set transaction isolation level repeatable read; select count(*) from queue.jobs",
    )
    .execute(&mut *report)
    .await
    .unwrap();
    let running = queue.run::<Scripted<Plain>>(settings(), 50).await;
    for round in 0..8 {
        let jobs: Vec<_> = (0..2000)
            .map(|n| NewJob::of(&plain(format!("{round} {n}"), Does::Nothing)).unwrap())
            .collect();
        queue.enqueue_new(&jobs).await;
        let high = NewJob::of(&plain(format!("high {round}"), Does::Nothing)).unwrap();
        queue.enqueue_new(&[high.priority(Priority::HIGH)]).await;
        let since = Instant::now();
        until("the one before all others has run", async || {
            queue.world.runs_of(&format!("high {round}")) == 1
        })
        .await;
        assert!(since.elapsed() < Duration::from_secs(3), "{since:?}");
        queue.until_empty().await;
    }
    running.stop().await;
    report.rollback().await.unwrap();
    assert_eq!(queue.world.starts().len(), 8 * 2001);
}

#[tokio::test]
async fn an_idle_runner_makes_at_most_three_statements_a_second() {
    const SECONDS: u32 = 8;
    let queue = TestQueue::new().await;
    let (way, url) = Way::open(queue.url(), 0).await;
    let runner = Runner::new(
        connect(&url, "worker", 3).await,
        RunnerSettings::new("idle"),
    );
    let running = Running::start(runner.register::<Scripted<Plain>, _>(queue.world.clone(), 4));
    queue.enqueue(plain("a", Does::Nothing)).await;
    queue.until_empty().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = way.asked();
    tokio::time::sleep(Duration::from_secs(SECONDS.into())).await;
    let made = way.asked() - before;
    assert!(made > 0, "nothing was counted");
    assert!(made <= 3 * SECONDS as usize, "{made}");
    running.stop().await;
}
