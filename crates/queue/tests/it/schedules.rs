//! Jobs that the clock enqueues: each time once, whatever the number of processes.

use std::time::{Duration, Instant};

use queue::{Runner, ScheduleError};

use crate::{
    harness::{Running, TestQueue, settings, until},
    script::{Does, Plain, Scripted, plain},
    waking::{hardly_polling, until_listening},
};

const EVERY_MINUTE: &str = "* * * * *";
/// On the first of January, which is never near enough to matter.
const RARELY: &str = "30 4 1 1 *";
/// What makes the schedule due.
const DUE: &str = "update queue.schedules set next_run_at = now() - interval '1 second'";

async fn scheduled(queue: &TestQueue, cron: &str, does: Does) -> Result<Runner, ScheduleError> {
    let runner = queue.runner(settings()).await;
    let runner = runner.register::<Scripted<Plain>, _>(queue.world.clone(), 4);
    runner.schedule("tick", cron, &plain("tick", does))
}

async fn run(queue: &TestQueue, cron: &str, does: Does) -> Running {
    let running = Running::start(scheduled(queue, cron, does).await.unwrap());
    until("the schedule is stored", async || {
        queue.number("select count(*) from queue.schedules").await == 1
    })
    .await;
    running
}

/// Waits until the schedule is due in the future again, so that somebody has dealt with it.
async fn until_dealt_with(queue: &TestQueue) {
    let ahead = "select count(*) from queue.schedules where next_run_at > now()";
    until("the schedule has moved on", async || {
        queue.number(ahead).await == 1
    })
    .await;
}

#[tokio::test]
async fn each_time_is_enqueued_once_by_three_processes() {
    let queue = TestQueue::new().await;
    let mut running = Vec::new();
    for _ in 0..3 {
        running.push(run(&queue, RARELY, Does::Nothing).await);
    }
    for times in 1..=3 {
        queue.execute(DUE).await;
        until_dealt_with(&queue).await;
        queue.until_empty().await;
        assert_eq!(queue.world.runs_of("tick"), times);
    }
    tokio::time::sleep(Duration::from_millis(1200)).await; // every process has looked again
    for one in running {
        one.stop().await;
    }
    assert_eq!(queue.world.runs_of("tick"), 3);
    assert_eq!(queue.waiting().await, 0);
}

#[tokio::test]
async fn a_process_that_dies_between_enqueueing_and_moving_on_neither_loses_nor_doubles_a_run() {
    let queue = TestQueue::new().await;
    // The first two times that the schedule is moved on, the job being enqueued by then, the
    // connection dies.
    sqlx::raw_sql(
        "create sequence moves;
         create function die() returns trigger language plpgsql as $$
             begin
                 if not exists (select from queue.jobs where unique_key = 'schedule:tick') then
                     raise exception 'moved on before the job was enqueued';
                 elsif nextval('moves') <= 2 then
                     perform pg_terminate_backend(pg_backend_pid());
                 end if;
                 return new;
             end $$;
         create trigger die before update of last_run_at on queue.schedules
             for each row execute function die();",
    )
    .execute(&queue.pool)
    .await
    .unwrap();
    let running = run(&queue, RARELY, Does::Nothing).await;
    queue.execute(DUE).await;
    until_dealt_with(&queue).await;
    queue.until_empty().await;
    running.stop().await;
    assert_eq!(queue.number("select last_value from moves").await, 3);
    assert_eq!(queue.world.runs_of("tick"), 1);
}

#[tokio::test]
async fn one_run_makes_up_for_all_times_that_passed_without_a_worker() {
    let queue = TestQueue::new().await;
    let running = run(&queue, RARELY, Does::Nothing).await;
    running.stop().await;
    queue
        .execute(
            "update queue.schedules set cron = '* * * * *', next_run_at = now() - interval '1 day'",
        )
        .await;
    let running = run(&queue, EVERY_MINUTE, Does::Nothing).await;
    until_dealt_with(&queue).await;
    queue.until_empty().await;
    let next =
        "select count(*) from queue.schedules where last_run_at > now() - interval '1 minute'
                and next_run_at <= now() + interval '1 minute'";
    assert_eq!(queue.number(next).await, 1);
    running.stop().await;
    // Two if a minute began meanwhile.
    assert!((1..=2).contains(&queue.world.runs_of("tick")));
}

#[tokio::test]
async fn while_a_run_has_not_ended_the_next_is_skipped() {
    let queue = TestQueue::new().await;
    let running = run(&queue, RARELY, Does::Hold(Does::Nothing.into())).await;
    queue.execute(DUE).await;
    until("it runs", async || queue.world.running() == 1).await;
    queue.execute(DUE).await;
    until_dealt_with(&queue).await;
    assert_eq!(queue.waiting().await, 1);
    queue.world.open_gate();
    queue.until_empty().await;
    assert_eq!(queue.world.runs_of("tick"), 1);
    queue.execute(DUE).await;
    until("it runs again", async || queue.world.runs_of("tick") == 2).await;
    queue.until_empty().await;
    running.stop().await;
}

#[tokio::test]
async fn a_changed_expression_gets_a_new_next_time_and_an_unchanged_one_does_not() {
    let queue = TestQueue::new().await;
    let next_in = "select extract(epoch from next_run_at - now())::bigint from queue.schedules";
    run(&queue, RARELY, Does::Nothing).await.stop().await;
    queue
        .execute("update queue.schedules set next_run_at = now() + interval '100 days'")
        .await;
    run(&queue, RARELY, Does::Nothing).await.stop().await;
    let kept = queue.number(next_in).await;
    assert!((8_639_000..=8_640_000).contains(&kept), "{kept}");
    let running = run(&queue, EVERY_MINUTE, Does::Nothing).await;
    until("it is planned anew", async || {
        queue.number(next_in).await <= 60
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn an_invalid_cron_expression_is_refused() {
    let queue = TestQueue::new().await;
    for bad in [
        "",
        "soon",
        "61 * * * *",
        "* * * *",
        "* * * * * *",
        "0 0 0 1 1 * 2030",
    ] {
        let refused = scheduled(&queue, bad, Does::Nothing).await.unwrap_err();
        let ScheduleError::Cron(refused) = refused else {
            panic!("{refused}");
        };
        assert_eq!(refused.expression, bad);
    }
    for good in ["* * * * *", "15 3 * * *", "*/5 0-6 1,15 * MON-FRI"] {
        assert!(scheduled(&queue, good, Does::Nothing).await.is_ok());
    }
}

#[tokio::test]
async fn a_scheduled_job_starts_without_waiting_for_a_poll() {
    let queue = TestQueue::new().await;
    let runner = queue.runner(hardly_polling()).await;
    let runner = runner.register::<Scripted<Plain>, _>(queue.world.clone(), 4);
    let tick = plain("tick", Does::Nothing);
    let running = Running::start(runner.schedule("tick", RARELY, &tick).unwrap());
    until_listening(&queue, 1).await;
    queue.execute(DUE).await;
    let since = Instant::now();
    until("it ran", async || queue.world.runs_of("tick") == 1).await;
    assert!(since.elapsed() < Duration::from_secs(5), "{since:?}");
    running.stop().await;
}
