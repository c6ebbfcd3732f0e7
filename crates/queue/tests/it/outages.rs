//! Database outages: the runner waits and continues, and no job is lost.

use std::time::{Duration, Instant};

use embedded_postgres::{PostgresServer, PostgresSettings};
use queue::Runner;

use crate::{
    harness::{Running, TestQueue, connect, keys, prepare, settings, short_lease, until},
    script::{Does, Plain, Scripted, Sturdy, plain, sturdy},
    way::Way,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_postgres_under_load_loses_no_job_and_ends_no_runner() {
    let start = || PostgresServer::start_temporary(PostgresSettings::default()).unwrap();
    let mut server = tokio::task::spawn_blocking(start).await.unwrap();
    let url = server.ensure_database("crashing").await.unwrap();
    let pool = connect(&url, "test", 1).await;
    prepare(&pool).await;
    pool.close().await;
    let queue = TestQueue::at(url).await;

    let all = keys("job", 1500);
    let pause = Duration::from_millis(10);
    let jobs = all
        .iter()
        .map(|key| sturdy(key, Does::After(pause, Does::Effect.into())));
    queue.enqueue_all(jobs).await;
    let lease = Duration::from_secs(2);
    let running = queue.run::<Scripted<Sturdy>>(short_lease(lease), 8).await;
    for crash in 1..=2 {
        let before = queue.effects().await.len();
        until("it is at work", async || {
            queue.effects().await.len() > before + 50
        })
        .await;
        server = tokio::task::spawn_blocking(move || {
            server.stop_immediate().unwrap();
            server.start_again().unwrap();
            server
        })
        .await
        .unwrap();
        assert!(queue.waiting().await > 0, "crash {crash} came too late");
    }
    queue.until_empty().await;
    assert!(!running.has_ended());
    running.stop().await;
    queue.assert_all_had_their_effect_once(all).await;
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_repeatedly_lose_no_job() {
    let queue = TestQueue::new().await;
    let all = keys("job", 600);
    let pause = Duration::from_millis(20);
    let jobs = all
        .iter()
        .map(|key| sturdy(key, Does::After(pause, Does::Effect.into())));
    queue.enqueue_all(jobs).await;
    let lease = Duration::from_secs(2);
    let running = queue.run::<Scripted<Sturdy>>(short_lease(lease), 8).await;
    let since = Instant::now();
    let mut cut = 0;
    while since.elapsed() < Duration::from_secs(2) {
        cut += queue
            .number(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity
                 where datname = current_database() and application_name = 'worker'",
            )
            .await;
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    assert!(cut > 20, "{cut}");
    queue.until_empty().await;
    assert!(!running.has_ended());
    running.stop().await;
    queue.assert_all_had_their_effect_once(all).await;
}

#[tokio::test]
async fn an_outcome_that_the_database_refuses_delays_no_other() {
    let queue = TestQueue::new().await;
    // Refuses the outcome of `bad` for good, as a data error, and that of `unlucky` once on its
    // own, as an error of the server. (Sequences do not roll back.)
    sqlx::raw_sql(
        "create sequence deletes;
         create function refuse() returns trigger language plpgsql as $$
             begin
                 if old.args ->> 'key' = 'bad' then
                     raise exception 'refused' using errcode = '22000';
                 elsif old.args ->> 'key' = 'unlucky' and nextval('deletes') = 1 then
                     raise exception 'away' using errcode = '57P01';
                 end if;
                 return old;
             end $$;
         create trigger refuse before delete on queue.jobs for each row execute function refuse();",
    )
    .execute(&queue.pool)
    .await
    .unwrap();
    let running = queue.run::<Scripted<Plain>>(settings(), 8).await;
    let first = queue
        .enqueue(plain("first", Does::Hold(Does::Nothing.into())))
        .await;
    until("it runs", async || queue.world.running() == 1).await;

    // The first outcome waits for its row, so those that come meanwhile make one batch.
    let mut lock = queue.pool.begin().await.unwrap();
    sqlx::query("select from queue.jobs where id = $1 for update")
        .bind(first)
        .execute(&mut *lock)
        .await
        .unwrap();
    queue.world.open_gate();
    until("it has ended", async || queue.world.running() == 0).await;
    let bad = queue.enqueue(plain("bad", Does::Nothing)).await;
    until("it has ended", async || queue.world.runs_of("bad") == 1).await;
    queue.enqueue(plain("unlucky", Does::Nothing)).await;
    until("both have ended", async || {
        queue.world.runs_of("unlucky") == 1 && queue.world.running() == 0
    })
    .await;
    lock.rollback().await.unwrap();

    until("only the bad one is left", async || {
        queue.waiting().await == 1
    })
    .await;
    assert!(queue.row(bad).await.is_some());
    assert_eq!(queue.world.runs_of("unlucky"), 1);
    running.stop().await;
}

#[tokio::test]
async fn an_outcome_sent_again_after_a_lost_response_is_written_once() {
    let queue = TestQueue::new().await;
    let (way, url) = Way::open(queue.url(), 2).await;
    let runner = Runner::new(connect(&url, "worker", 3).await, settings());
    let running = Running::start(runner.register::<Scripted<Plain>, _>(queue.world.clone(), 1));
    let hour = Duration::from_hours(1);
    let snoozed = queue.enqueue(plain("a", Does::Snooze(hour))).await;
    until("its outcome is written", async || {
        !queue.given_back(snoozed).await.is_empty()
    })
    .await;
    // Outcomes are written one after the other, so it has been sent again once this one is.
    queue.enqueue(plain("b", Does::Nothing)).await;
    until("both answers are lost", async || way.has_lost_all()).await;
    until("the other is done", async || queue.waiting().await == 1).await;
    running.stop().await;
    let row = queue.row(snoozed).await.unwrap();
    assert_eq!(row.attempts, 0);
    assert_eq!(queue.given_back(snoozed).await, [(0, 3600.0)]);
    assert_eq!(queue.world.starts().len(), 2);
}
