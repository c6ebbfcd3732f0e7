//! Leases and fences: which worker holds a job, and that no other worker can write its outcome.

use std::time::{Duration, Instant};

use queue::JobId;

use crate::{
    harness::{Row, Running, TestQueue, settings, short_lease, until},
    script::{Does, Other, Plain, Scripted, other, plain},
};

fn held(then: Does) -> Does {
    Does::Hold(Box::new(then))
}

/// Does what the claim of another worker does, with a lease of an hour.
async fn steal(queue: &TestQueue, id: JobId) -> Row {
    sqlx::query(
        "update queue.jobs set claim = claim + 1, attempts = attempts + 1, locked_by = 'thief',
             run_at = now() + interval '1 hour' where id = $1",
    )
    .bind(id)
    .execute(&queue.pool)
    .await
    .unwrap();
    queue.row(id).await.unwrap()
}

fn assert_untouched(row: Option<Row>, stolen: &Row) {
    let row = row.expect("the thief's job is still there");
    assert!((stolen.due_in - row.due_in).abs() < 30.0, "{row:?}");
    let row = Row {
        due_in: stolen.due_in,
        ..row
    };
    assert_eq!(row, *stolen);
}

#[tokio::test]
async fn a_job_longer_than_its_lease_is_renewed_and_nobody_else_runs_it() {
    let queue = TestQueue::new().await;
    let lease = Duration::from_secs(1);
    let one = queue.run::<Scripted<Plain>>(short_lease(lease), 4).await;
    let two = queue.run::<Scripted<Plain>>(short_lease(lease), 4).await;
    for n in 0..3 {
        let long = Does::After(3 * lease, Does::Effect.into());
        queue.enqueue(plain(format!("{n}"), long)).await;
    }
    queue.until_empty().await;
    one.stop().await;
    two.stop().await;
    assert_eq!(queue.world.starts().len(), 3);
    assert_eq!(queue.effects().await, ["0", "1", "2"]);
}

#[tokio::test]
async fn a_job_completed_in_a_shared_transaction_does_not_lose_its_lease_before_it_learns_of_the_commit()
 {
    let queue = TestQueue::new().await;
    let running = queue
        .run::<Scripted<Plain>>(short_lease(Duration::from_secs(1)), 4)
        .await;
    let beside = queue.enqueue(plain("beside", held(Does::Nothing))).await;
    let done = queue.enqueue(plain("done", Does::EffectAnsweredLate)).await;
    until("its row is gone", async || {
        queue.world.runs_of("beside") == 1 && queue.row(done).await.is_none()
    })
    .await;
    // The renewals of another job show when the runner has looked for this one.
    let ends = async || {
        sqlx::query_scalar::<_, f64>(
            "select extract(epoch from run_at)::float8 from queue.jobs where id = $1",
        )
        .bind(beside)
        .fetch_one(&queue.pool)
        .await
        .unwrap()
    };
    for _ in 0..2 {
        let before = ends().await;
        until("leases are renewed", async || ends().await > before).await;
    }
    queue.world.open_gate();
    queue.until_empty().await;
    until("it hears of it", async || {
        queue.world.completions() == ["Ok(true)"]
    })
    .await;
    running.stop().await;
    assert_eq!(queue.effects().await, ["done"]);
}

#[tokio::test]
async fn a_lost_lease_cancels_the_work_within_a_renewal_and_nothing_is_written() {
    let queue = TestQueue::new().await;
    let lease = Duration::from_millis(1500);
    let running = queue.run::<Scripted<Plain>>(short_lease(lease), 4).await;
    let id = queue.enqueue(plain("a", held(Does::Effect))).await;
    queue.enqueue(plain("b", held(Does::Effect))).await;
    until("they run", async || queue.world.running() == 2).await;
    let stolen = steal(&queue, id).await;
    let since = Instant::now();
    until("it is cancelled", async || queue.world.cancelled() == ["a"]).await;
    assert!(since.elapsed() < lease / 3 * 2, "{:?}", since.elapsed());
    // Its neighbour kept its lease.
    queue.world.open_gate();
    until("its neighbour is done", async || queue.waiting().await == 1).await;
    running.stop().await;
    assert_untouched(queue.row(id).await, &stolen);
    assert_eq!(queue.effects().await, ["b"]);
}

#[tokio::test]
async fn a_stale_completion_is_refused_and_its_effect_is_rolled_back() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Plain>>(settings(), 4).await;
    let id = queue.enqueue(plain("a", held(Does::Effect))).await;
    until("it runs", async || queue.world.running() == 1).await;
    let stolen = steal(&queue, id).await;
    queue.world.open_gate();
    until("it has ended", async || queue.world.running() == 0).await;
    running.stop().await;
    assert_eq!(queue.world.completions(), ["Err(LeaseLost)"]);
    assert_eq!(queue.effects().await, [""; 0]);
    assert_untouched(queue.row(id).await, &stolen);
}

#[tokio::test]
async fn no_outcome_of_an_older_claim_changes_anything() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Plain>>(settings(), 8).await;
    let mut all = Vec::new();
    for (n, stale) in [
        Does::Nothing,
        Does::Fail("stale".to_owned(), None),
        Does::Fail("stale".to_owned(), Some(Duration::ZERO)),
        Does::Snooze(Duration::ZERO),
        Does::Discard("stale".to_owned()),
        Does::Panic("stale".to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        all.push(queue.enqueue(plain(format!("{n}"), held(stale))).await);
    }
    until("they run", async || queue.world.running() == all.len()).await;
    let mut stolen = Vec::new();
    for id in &all {
        stolen.push(steal(&queue, *id).await);
    }
    queue.world.open_gate();
    until("they have ended", async || queue.world.running() == 0).await;
    running.stop().await; // which waits until everything is written
    for (id, stolen) in all.into_iter().zip(stolen) {
        assert_untouched(queue.row(id).await, &stolen);
    }
    assert_eq!(queue.dead().await, 0);
}

#[tokio::test]
async fn a_job_cut_off_after_its_lease_was_lost_is_not_given_back() {
    let queue = TestQueue::new().await;
    let mut settings = settings();
    settings.grace = Duration::from_millis(50);
    let running = queue.run::<Scripted<Plain>>(settings, 8).await;
    let id = queue.enqueue(plain("a", held(Does::Effect))).await;
    until("it runs", async || queue.world.running() == 1).await;
    let stolen = steal(&queue, id).await;
    running.stop().await;
    assert_untouched(queue.row(id).await, &stolen);
}

#[tokio::test]
async fn one_job_that_commits_slowly_costs_no_other_its_lease() {
    let queue = TestQueue::new().await;
    let lease = Duration::from_millis(900);
    let runner = queue.runner(short_lease(lease)).await;
    let running = Running::start(
        runner
            .register::<Scripted<Plain>, _>(queue.world.clone(), 4)
            .register::<Scripted<Other>, _>(queue.world.clone(), 4),
    );
    // Its transaction holds the lock of its row.
    queue
        .enqueue(plain("slow", Does::EffectCommittedLate))
        .await;
    until("it has completed", async || {
        queue.world.completions().len() == 1
    })
    .await;
    let long = Does::After(3 * lease, Does::Effect.into());
    queue.enqueue(other("long", long)).await;
    until("the other is done", async || queue.waiting().await == 1).await;
    assert_eq!(queue.world.runs_of("long"), 1);
    queue.world.open_gate();
    queue.until_empty().await;
    running.stop().await;
    assert_eq!(queue.effects().await, ["long", "slow"]);
}

#[tokio::test]
async fn a_lease_that_has_run_out_in_the_database_is_not_renewed_but_lost() {
    let queue = TestQueue::new().await;
    let lease = Duration::from_secs(3);
    let running = queue.run::<Scripted<Plain>>(short_lease(lease), 1).await;
    let id = queue.enqueue(plain("a", held(Does::Effect))).await;
    until("it runs", async || queue.world.running() == 1).await;
    // As a scan of the timers does with a job whose worker was paused.
    queue
        .execute("update queue.jobs set ready = true, locked_by = null")
        .await;
    until("it is cancelled", async || queue.world.cancelled() == ["a"]).await;
    until("it runs again", async || queue.world.runs_of("a") == 2).await;
    assert_eq!(queue.row(id).await.unwrap().claim, 2);
    queue.world.open_gate();
    queue.until_empty().await;
    running.stop().await;
    assert_eq!(queue.effects().await, ["a"]);
}

#[tokio::test]
async fn a_lease_that_the_database_failed_to_renew_costs_no_attempt() {
    let queue = TestQueue::new().await;
    let lease = Duration::from_millis(600);
    let running = queue.run::<Scripted<Plain>>(short_lease(lease), 1).await;
    let id = queue.enqueue(plain("a", held(Does::Effect))).await;
    until("it runs", async || queue.world.running() == 1).await;
    // So that no claim comes before the job is given back.
    queue
        .execute("insert into queue.paused (kind) select kind from queue.jobs")
        .await;
    let mut slow = queue.pool.begin().await.unwrap();
    sqlx::query("lock table queue.jobs in access exclusive mode")
        .execute(&mut *slow)
        .await
        .unwrap();
    until("it is cancelled", async || queue.world.cancelled() == ["a"]).await;
    slow.rollback().await.unwrap();
    until("its attempt is given back", async || {
        let row = queue.row(id).await.unwrap();
        row.ready && row.attempts == 0
    })
    .await;
    queue.execute("delete from queue.paused").await;
    queue.world.open_gate();
    queue.until_empty().await;
    running.stop().await;
    assert_eq!(queue.effects().await, ["a"]);
}
