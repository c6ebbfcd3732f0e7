//! What the queue writes down beside the jobs themselves, what that costs, and how it is cleared
//! away.

use std::time::Duration;

use queue::{CleanupQueue, CleanupQueueDeps};

use crate::{
    harness::{Running, TestQueue, settings, until},
    script::{Does, Other, Plain, Scripted, other, plain},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_claimed_and_completed_many_at_a_time() {
    let queue = TestQueue::new().await;
    sqlx::raw_sql(
        "create table statements (what text not null);
         create function count_statement() returns trigger language plpgsql as $$
             begin insert into statements values (tg_op); return null; end $$;
         create trigger count_statement after update or delete on queue.jobs
             for each statement execute function count_statement();",
    )
    .execute(&queue.pool)
    .await
    .unwrap();
    queue
        .enqueue_all((0..2000).map(|n| plain(format!("{n}"), Does::Nothing)))
        .await;
    let running = queue.run::<Scripted<Plain>>(settings(), 100).await;
    queue.until_empty().await;
    running.stop().await;
    assert_eq!(queue.world.starts().len(), 2000);
    let counted = "select count(*) from statements where what = 'DELETE'";
    let deletes = queue.number(counted).await;
    assert!((1..=200).contains(&deletes), "{deletes}");
    let counted = "select count(*) from statements where what = 'UPDATE'";
    let updates = queue.number(counted).await;
    assert!((1..=200).contains(&updates), "{updates}");
}

#[tokio::test]
async fn the_last_ten_errors_of_a_job_are_kept() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Plain>>(settings(), 1).await;
    let now = Some(Duration::ZERO);
    let id = queue
        .enqueue(plain("a", Does::Fail("no".to_owned(), now)))
        .await;
    queue.until_dead(id).await;
    running.stop().await;
    let kept: Vec<(i32, String, bool)> = sqlx::query_as(
        "select (error ->> 'attempt')::int, error ->> 'error',
                (error ->> 'at')::timestamptz between now() - interval '1 minute' and now()
         from queue.dead_jobs, jsonb_array_elements(errors) with ordinality as e(error, n) order by n",
    )
    .fetch_all(&queue.pool)
    .await
    .unwrap();
    let expected: Vec<_> = (3..=12).map(|n| (n, "no".to_owned(), true)).collect();
    assert_eq!(kept, expected);
}

#[tokio::test]
async fn maintenance_deletes_what_is_old_and_keeps_what_is_young() {
    let queue = TestQueue::new().await;
    queue
        .execute(
            "insert into queue.dead_jobs
                 (id, kind, died_at, reason, created_at, attempts, max_attempts, priority, args)
             select n, 'plain', now() - case when n <= 6000 then interval '8 days' else interval '6 days' end,
                    'discarded', now() - interval '100 days', 1, 1, 0, 'null'
             from generate_series(1, 6010) as n",
        )
        .await;
    queue
        .execute(
            "insert into queue.throughput (kind, minute)
             values ('old', now() - interval '25 hours'), ('young', now() - interval '23 hours')",
        )
        .await;
    queue
        .execute(
            "insert into queue.workers (name, started_at, seen_at, kinds, concurrency, held)
             values ('long gone', now(), now() - interval '2 hours', '{}', 1, 0),
                    ('here', now(), now() - interval '1 minute', '{}', 1, 0)",
        )
        .await;
    let deps = CleanupQueueDeps {
        pool: queue.pool.clone().into(),
        keep_dead_jobs: Duration::from_hours(24 * 7),
    };
    let runner = queue.runner(settings()).await;
    let running = Running::start(runner.register::<CleanupQueue, _>(deps, 1));
    queue.enqueue(CleanupQueue {}).await;
    queue.until_empty().await;
    running.stop().await;
    assert_eq!(queue.dead().await, 10);
    let young = "select count(*) from queue.dead_jobs where died_at > now() - interval '7 days'";
    assert_eq!(queue.number(young).await, 10);
    let names: Vec<String> = sqlx::query_scalar(
        "select name from queue.workers union all
         select kind from queue.throughput where kind <> 'cleanup_queue' order by name",
    )
    .fetch_all(&queue.pool)
    .await
    .unwrap();
    assert_eq!(names, ["here", "young"]);
}

#[tokio::test]
async fn a_worker_is_listed_from_its_start_to_its_stop() {
    let queue = TestQueue::new().await;
    let runner = queue.runner(settings()).await;
    let runner = runner
        .register::<Scripted<Plain>, _>(queue.world.clone(), 3)
        .register::<Scripted<Other>, _>(queue.world.clone(), 4);
    let running = Running::start(runner);
    let listed =
        "select count(*) from queue.workers where name = 'test' and concurrency = 7 and held = 0
                  and kinds = '{plain,other}' and seen_at > now() - interval '1 minute'";
    until("it is listed", async || queue.number(listed).await == 1).await;
    running.stop().await;
    assert_eq!(queue.number("select count(*) from queue.workers").await, 0);
}

#[tokio::test]
async fn the_figures_add_up_to_what_has_run() {
    let queue = TestQueue::new().await;
    for _ in 0..2 {
        let runner = queue.runner(settings()).await;
        let runner = runner
            .register::<Scripted<Plain>, _>(queue.world.clone(), 3)
            .register::<Scripted<Other>, _>(queue.world.clone(), 3);
        let running = Running::start(runner);
        for n in 0..7 {
            queue.enqueue(plain(format!("{n}"), Does::Nothing)).await;
            queue.enqueue(other(format!("{n}"), Does::Effect)).await;
        }
        queue.enqueue(plain("fails once", Does::FailOnce(0))).await;
        queue
            .enqueue(other("discarded", Does::Discard("no".to_owned())))
            .await;
        queue
            .enqueue(other("snoozed", Does::Snooze(Duration::from_hours(1))))
            .await;
        until("the snoozed one is left", async || {
            queue
                .number(
                    "select count(*) from queue.jobs where not (not ready and locked_by is null)",
                )
                .await
                == 0
        })
        .await;
        running.stop().await;
    }
    let sums: Vec<(String, i64, i64)> = sqlx::query_as(
        "select kind, sum(completed)::bigint, sum(failed)::bigint from queue.throughput
         group by kind order by kind",
    )
    .fetch_all(&queue.pool)
    .await
    .unwrap();
    let expected = [("other".to_owned(), 14, 2), ("plain".to_owned(), 16, 2)];
    assert_eq!(sums, expected);
}

#[tokio::test]
async fn statements_that_were_planned_for_an_empty_queue_do_not_read_all_of_a_full_one() {
    const MANY: i64 = 30_000;
    let queue = TestQueue::new().await;
    queue.execute("vacuum analyze queue.jobs").await; // as autovacuum does: now Postgres knows that it is empty
    let running = queue.run::<Scripted<Plain>>(settings(), 2).await;
    // After some executions a connection keeps the plan that it has.
    for n in 0..12_u32 {
        queue.enqueue(plain(format!("{n}"), Does::Nothing)).await;
        until("an early job", async || {
            queue.world.starts().len() > n as usize
        })
        .await;
    }
    let read = "select seq_tup_read from pg_stat_user_tables where relid = 'queue.jobs'::regclass";
    let before = queue.number(read).await;
    sqlx::query(
        "insert into queue.jobs (kind, max_attempts, args, ready, run_at)
         select 'nobodys', 1, '{}', n % 2 = 0, now() + interval '1 hour' from generate_series(1, $1) n",
    )
    .bind(MANY)
    .execute(&queue.pool)
    .await
    .unwrap();
    for n in 12..32_u32 {
        queue.enqueue(plain(format!("{n}"), Does::Nothing)).await;
        until("a late job", async || {
            queue.world.starts().len() > n as usize
        })
        .await;
    }
    running.stop().await;
    // What a connection did is counted when it ends.
    let deleted = "select n_tup_del from pg_stat_user_tables where relid = 'queue.jobs'::regclass";
    until("the figures", async || queue.number(deleted).await >= 32).await;
    let read = queue.number(read).await - before;
    assert!(read < MANY, "{read} rows were read from end to end");
}
