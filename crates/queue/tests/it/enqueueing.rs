//! The options of a new job: batch, key, delay, priority and trace.

use std::time::Duration;

use queue::{Job, JobArgs, NewJob, Priority};

use crate::{
    harness::{TestQueue, keys_run, settings, until},
    script::{Does, Hasty, Plain, Scripted, hasty, plain},
};

fn new(key: &str, does: Does) -> NewJob {
    NewJob::of(&plain(key, does)).unwrap()
}

fn unique(key: &str, unique: &str) -> NewJob {
    new(key, Does::Nothing).unique_key(unique)
}

#[tokio::test]
async fn a_duplicate_in_a_batch_costs_only_itself_and_the_numbers_come_in_order() {
    let queue = TestQueue::new().await;
    let there = queue.enqueue_new(&[unique("there", "k1")]).await;
    assert!(there[0].is_some());
    let batch = [
        unique("a", "k2"),
        new("b", Does::Nothing),
        unique("in the table already", "k1"),
        unique("in the list already", "k2"),
        new("c", Does::Nothing),
        unique("d", "k3"),
        new("e", Does::Nothing),
    ];
    let ids = queue.enqueue_new(&batch).await;
    let answered: Vec<_> = ids.iter().map(Option::is_some).collect();
    assert_eq!(answered, [true, true, false, false, true, true, true]);
    let stored: Vec<(i64, String)> =
        sqlx::query_as("select id, args ->> 'key' from queue.jobs where id <> $1 order by id")
            .bind(there[0])
            .fetch_all(&queue.pool)
            .await
            .unwrap();
    let expected: Vec<_> = ids
        .iter()
        .flatten()
        .copied()
        .zip(["a", "b", "c", "d", "e"])
        .collect();
    let stored: Vec<_> = stored.iter().map(|(id, key)| (*id, key.as_str())).collect();
    assert_eq!(stored, expected);
    assert_eq!(queue.enqueue_new(&[]).await, []);
}

#[tokio::test]
async fn a_unique_key_is_taken_while_the_job_waits_for_a_retry_and_free_once_it_has_completed() {
    let queue = TestQueue::new().await;
    let snooze = Does::Snooze(Duration::from_hours(1));
    let first = queue.enqueue_new(&[new("a", snooze).unique_key("k")]).await[0].unwrap();
    let running = queue.run::<Scripted<Plain>>(settings(), 1).await;
    until("it is snoozed", async || {
        !queue.given_back(first).await.is_empty()
    })
    .await;
    assert_eq!(queue.enqueue_new(&[unique("b", "k")]).await, [None]);
    queue.execute("delete from queue.jobs").await;
    for _ in 0..3 {
        let ids = queue.enqueue_new(&[unique("c", "k")]).await;
        assert!(ids[0].is_some());
        queue.until_empty().await;
    }
    running.stop().await;
    assert_eq!(queue.world.runs_of("c"), 3);
    assert_eq!(queue.world.runs_of("b"), 0);
}

#[tokio::test]
async fn a_unique_key_is_free_once_its_job_is_a_dead_letter() {
    let queue = TestQueue::new().await;
    let dies = new("dies", Does::Discard("no".to_owned())).unique_key("k");
    let running = queue.run::<Scripted<Plain>>(settings(), 1).await;
    for _ in 0..2 {
        let id = queue.enqueue_new(std::slice::from_ref(&dies)).await[0].unwrap();
        queue.until_dead(id).await;
    }
    running.stop().await;
    let kept = "select count(*) from queue.dead_jobs where unique_key = 'k'";
    assert_eq!(queue.number(kept).await, 2);
}

#[tokio::test]
async fn one_of_two_transactions_with_the_same_unique_key_enqueues() {
    let queue = TestQueue::new().await;
    let mut tx = queue.pool.begin().await.unwrap();
    let first = queue::enqueue_all(&mut tx, &[unique("first", "k")]).await;
    assert!(first.unwrap()[0].is_some());
    let job = [unique("second", "k")];
    let ((), second) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            tx.commit().await.unwrap();
        },
        queue.enqueue_new(&job),
    );
    assert_eq!(second, [None]);
    assert_eq!(queue.waiting().await, 1);
}

#[tokio::test]
async fn a_delayed_job_starts_at_its_time_and_within_milliseconds_of_it() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Plain>>(settings(), 8).await;
    let jobs: Vec<_> = (0..5)
        .map(|n| new(&format!("{n}"), Does::Effect).delay(Duration::from_millis(1500 + 120 * n)))
        .collect();
    queue.enqueue_new(&jobs).await;
    let due: Vec<(String, f64)> = sqlx::query_as(
        "select args ->> 'key', extract(epoch from run_at)::float8 from queue.jobs where not ready order by 1",
    )
    .fetch_all(&queue.pool)
    .await
    .unwrap();
    assert_eq!(due.len(), 5);
    queue.until_empty().await;
    running.stop().await;
    assert_hardly_late(&queue, &due).await;
}

#[tokio::test]
async fn a_retry_starts_at_its_time_and_within_milliseconds_of_it() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Hasty>>(settings(), 8).await;
    let new = |n: u64| NewJob::of(&hasty(format!("{n}"), Does::FailOnce(60 * (n + 2)))).unwrap();
    let jobs: Vec<_> = (0..5).map(new).collect();
    queue.enqueue_new(&jobs).await; // numbered in this order
    until("all have failed", async || {
        queue.number("select count(*) from given_back").await == 5
    })
    .await;
    queue.until_empty().await;
    running.stop().await;
    let due: Vec<(String, f64)> =
        sqlx::query_as("select (rank() over (order by id) - 1)::text, extract(epoch from due)::float8 from given_back order by id")
            .fetch_all(&queue.pool)
            .await
            .unwrap();
    assert_hardly_late(&queue, &due).await;
}

/// No job had its effect before its time, and the fastest had it within 50 ms. (The others may have
/// waited for a processor that other tests use.)
async fn assert_hardly_late(queue: &TestQueue, due: &[(String, f64)]) {
    let done: Vec<(String, f64)> =
        sqlx::query_as("select key, extract(epoch from at)::float8 from effects order by key")
            .fetch_all(&queue.pool)
            .await
            .unwrap();
    assert_eq!(done.len(), due.len());
    let late: Vec<f64> = done
        .iter()
        .zip(due)
        .map(|((key, at), (due_key, due))| {
            assert_eq!(key, due_key);
            at - due
        })
        .collect();
    assert!(
        late.iter().all(|late| (0.0..1.0).contains(late)),
        "{late:?}"
    );
    let best = late.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(best < 0.05, "{late:?}");
}

#[tokio::test]
async fn a_delay_too_long_for_postgres_is_cut_and_costs_its_batch_nothing() {
    let queue = TestQueue::new().await;
    let far = new("far", Does::Nothing).delay(Duration::MAX);
    let ids = queue.enqueue_new(&[far, new("near", Does::Nothing)]).await;
    assert!(ids.iter().all(Option::is_some));
    let far =
        "select count(*) from queue.jobs where not ready and run_at > now() + interval '9 years'";
    assert_eq!(queue.number(far).await, 1);
}

#[tokio::test]
async fn high_runs_before_normal_and_normal_before_low() {
    let queue = TestQueue::new().await;
    let of = |key: &str, priority| new(key, Does::Nothing).priority(priority);
    let batch = [
        of("low 1", Priority::LOW),
        of("normal 1", Priority::NORMAL),
        of("high 1", Priority::HIGH),
    ];
    queue.enqueue_new(&batch).await;
    let batch = [
        of("high 2", Priority::HIGH),
        of("low 2", Priority::LOW),
        of("normal 2", Priority::NORMAL),
    ];
    queue.enqueue_new(&batch).await;
    let running = queue.run::<Scripted<Plain>>(settings(), 1).await;
    queue.until_empty().await;
    running.stop().await;
    let order = ["high 1", "high 2", "normal 1", "normal 2", "low 1", "low 2"];
    assert_eq!(keys_run(&queue), order);
}

#[tokio::test]
async fn a_low_job_that_has_waited_twenty_minutes_goes_before_a_new_normal_one() {
    let queue = TestQueue::new().await;
    let of = |key: &str, priority| new(key, Does::Nothing).priority(priority);
    queue.enqueue_new(&[of("old low", Priority::LOW)]).await;
    queue
        .execute(
            "update queue.jobs set position = position - interval '20 minutes',
                 created_at = created_at - interval '20 minutes'",
        )
        .await;
    let new = [of("normal", Priority::NORMAL), of("low", Priority::LOW)];
    queue.enqueue_new(&new).await;
    let running = queue.run::<Scripted<Plain>>(settings(), 1).await;
    queue.until_empty().await;
    running.stop().await;
    assert_eq!(keys_run(&queue), ["old low", "normal", "low"]);
}

#[tokio::test]
async fn a_job_given_back_keeps_its_priority() {
    let queue = TestQueue::new().await;
    let low = new("low", Does::Hold(Does::Nothing.into())).priority(Priority::LOW);
    queue.enqueue_new(&[low]).await;
    let mut hasty = settings();
    hasty.grace = Duration::ZERO;
    let running = queue.run::<Scripted<Plain>>(hasty, 1).await;
    until("it runs", async || queue.world.running() == 1).await;
    queue.enqueue(plain("normal", Does::Nothing)).await;
    running.stop().await;
    queue.world.open_gate();
    let next = queue.run::<Scripted<Plain>>(settings(), 1).await;
    queue.until_empty().await;
    next.stop().await;
    assert_eq!(keys_run(&queue), ["low", "normal", "low"]);
}

#[tokio::test]
async fn the_trace_context_reaches_the_attempt() {
    let queue = TestQueue::new().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced = new("a", Does::Nothing).trace(Some(trace.to_owned()));
    queue.enqueue_new(&[new("b", Does::Nothing), traced]).await;
    let running = queue.run::<Scripted<Plain>>(settings(), 1).await;
    queue.until_empty().await;
    running.stop().await;
    assert_eq!(queue.world.starts().len(), 2);
    assert_eq!(queue.world.traces(), [trace]);
}

/// As many attempts as the type allows.
#[derive(serde::Serialize, serde::Deserialize)]
struct Endless;

impl JobArgs for Endless {
    const NAME: &'static str = "endless";
    const MAX_ATTEMPTS: u16 = u16::MAX;
}

impl Job<()> for Endless {
    async fn run(&self, (): &(), _: &queue::Attempt) -> Result<(), queue::JobError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_job_with_the_most_attempts_that_has_used_them_all_stops_no_claim() {
    let queue = TestQueue::new().await;
    let runner = queue.runner(settings()).await;
    queue.enqueue(Endless).await;
    queue
        .execute("update queue.jobs set attempts = max_attempts")
        .await;
    let running = crate::harness::Running::start(runner.register::<Endless, _>((), 1));
    queue.until_empty().await;
    running.stop().await;
    assert_eq!(queue.dead().await, 1);
}
