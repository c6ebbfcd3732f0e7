//! Rate limits: exact whoever asks, and taken together with what they are for.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use chrono::{DateTime, Utc};
use queue::{
    CleanupQueue, CleanupQueueDeps,
    rate_limit::{self, Admission, RateLimit, forget, take, take_all},
    testing::TestQueue as Manual,
};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::task::JoinSet;

use crate::{
    harness::{DEADLINE, TestQueue, connect, until},
    way::Way,
};

const HOUR: Duration = Duration::from_hours(1);
const NONE: Duration = Duration::ZERO;

/// As many at once, one an hour, and this many hours of waiting.
fn hourly(burst: u32, max_hours: u32) -> RateLimit {
    RateLimit {
        burst: NonZeroU32::new(burst).unwrap(),
        period: HOUR,
        max_delay: HOUR * max_hours,
    }
}

/// Takes a slot and commits.
async fn take_one(pool: &PgPool, key: &str, limit: &RateLimit) -> (Admission, DateTime<Utc>) {
    let mut tx = pool.begin().await.unwrap();
    let taken = take(&mut tx, key, limit).await.unwrap();
    tx.commit().await.unwrap();
    taken
}

/// Slots between the first, which was given at once, and this one, in whole hours.
fn hours(from: DateTime<Utc>, to: DateTime<Utc>) -> i64 {
    let hours = (to - from).num_hours();
    assert_eq!(
        to - from,
        chrono::TimeDelta::hours(hours),
        "{from} to {to} is not whole"
    );
    hours
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_at_once_exactly_the_burst_goes_now_and_each_other_is_given_its_own_slot() {
    let queue = TestQueue::new().await;
    let pools = [
        connect(queue.url(), "one", 10).await,
        connect(queue.url(), "other", 10).await,
    ];
    let limit = hourly(10, 20);
    let mut askers = JoinSet::new();
    for n in 0..100 {
        let pool = pools[n % 2].clone();
        askers.spawn(async move { take_one(&pool, "busy", &limit).await });
    }
    let taken = askers.join_all().await;

    let count = |is: fn(&Admission) -> bool| taken.iter().filter(|taken| is(&taken.0)).count();
    assert_eq!(count(|admission| *admission == Admission::Now), 10);
    let refused = count(|admission| matches!(admission, Admission::Refused { .. }));
    assert_eq!(refused, 70);
    let mut slots: Vec<_> = taken
        .iter()
        .filter_map(|(admission, at)| match admission {
            Admission::At { slot, .. } => {
                assert_eq!(slot, at);
                Some(*slot)
            }
            Admission::Now | Admission::Refused { .. } => None,
        })
        .collect();
    slots.sort_unstable();
    let first = taken.iter().map(|taken| taken.1).min().unwrap();
    let ahead: Vec<i64> = slots.iter().map(|slot| hours(first, *slot)).collect();
    assert_eq!(ahead, (1..=20).collect::<Vec<i64>>());
}

/// Everybody asks as fast as they can, for a second or so, while the clock runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_every_window_of_real_time_the_slots_obey_the_limit() {
    const BURST: i64 = 3;
    const PERIOD: i64 = 20_000; // in microseconds
    let queue = TestQueue::new().await;
    let pool = connect(queue.url(), "worker", 6).await;
    let limit = RateLimit {
        burst: NonZeroU32::new(3).unwrap(),
        period: Duration::from_millis(20),
        max_delay: Duration::from_millis(30),
    };
    let mut takers = JoinSet::new();
    for _ in 0..6 {
        let pool = pool.clone();
        takers.spawn(async move {
            let mut slots = Vec::new();
            for _ in 0..100 {
                let (admission, at) = take_one(&pool, "busy", &limit).await;
                if !matches!(admission, Admission::Refused { .. }) {
                    slots.push(at.timestamp_micros());
                }
            }
            slots
        });
    }
    let mut slots = takers.join_all().await.concat();
    slots.sort_unstable();
    assert!(slots.len() > 10, "{} slots", slots.len());
    for (first, from) in slots.iter().enumerate() {
        for (count, to) in (1..).zip(&slots[first..]) {
            let most = BURST + (to - from) / PERIOD;
            assert!(count <= most, "{count} slots, not {most}: {slots:?}");
        }
    }
}

#[tokio::test]
async fn what_is_refused_takes_no_slot() {
    let queue = TestQueue::new().await;
    for _ in 0..3 {
        take_one(&queue.pool, "a", &hourly(1, 2)).await;
    }
    let last = queue.number("select tat_ns from queue.rate_limits").await;
    for _ in 0..3 {
        let (refused, at) = take_one(&queue.pool, "a", &hourly(1, 2)).await;
        let Admission::Refused { wait } = refused else {
            panic!("{refused:?}");
        };
        assert!(wait > HOUR * 2 && wait <= HOUR * 3, "{wait:?}");
        assert_eq!(at.timestamp_nanos_opt(), Some(last));
    }
    let (later, _) = take_one(&queue.pool, "a", &hourly(1, 3)).await;
    assert!(matches!(later, Admission::At { .. }), "{later:?}");
    let (other, _) = take_one(&queue.pool, "b", &hourly(1, 0)).await;
    assert_eq!(other, Admission::Now, "every key has a limit of its own");
}

/// What each event was given, as the hours from its key's first: none if it was refused.
fn given(keys: &[&str], taken: &[(Admission, DateTime<Utc>)]) -> Vec<(String, bool, Option<i64>)> {
    let mut first = BTreeMap::new();
    let given = keys.iter().zip(taken).map(|(key, (admission, at))| {
        let now = *admission == Admission::Now;
        let refused = matches!(admission, Admission::Refused { .. });
        let first = *first.entry(*key).or_insert(*at);
        let ahead = (!refused && !now).then(|| hours(first, *at));
        ((*key).to_owned(), now, ahead)
    });
    given.collect()
}

#[tokio::test]
async fn a_batch_is_given_what_its_events_would_be_given_one_by_one() {
    let queue = TestQueue::new().await;
    let limit = hourly(2, 3);
    let keys: Vec<&str> = "c a b a a c d a a a a b c b b c c c d a c"
        .split(' ')
        .collect();

    let mut tx = queue.pool.begin().await.unwrap();
    let batch = take_all(&mut tx, &keys, &limit).await.unwrap();
    tx.rollback().await.unwrap();
    let mut one_by_one = Vec::new();
    for key in &keys {
        one_by_one.push(take_one(&queue.pool, key, &limit).await);
    }

    let batch = given(&keys, &batch);
    assert_eq!(batch, given(&keys, &one_by_one));
    let of_a: Vec<_> = batch.iter().filter(|event| event.0 == "a").collect();
    let now: Vec<bool> = of_a.iter().map(|event| event.1).collect();
    assert_eq!(now[..3], [true, true, false]);
    let ahead: Vec<Option<i64>> = of_a.iter().map(|event| event.2).collect();
    assert_eq!(ahead[2..6], [Some(1), Some(2), Some(3), None]);
}

#[tokio::test]
async fn a_batch_costs_three_statements_whatever_its_size() {
    let queue = TestQueue::new().await;
    let (way, url) = Way::open(queue.url(), 0).await;
    let mut conn = PgConnection::connect(&url).await.unwrap();
    let limit = hourly(2, 3);
    let asked = async |conn: &mut PgConnection, keys: &[&str]| {
        let before = way.asked();
        take_all(conn, keys, &limit).await.unwrap();
        way.asked() - before
    };
    asked(&mut conn, &["warm"]).await; // the statements are prepared
    let keys: Vec<String> = (0..500).map(|n| format!("key {}", n % 300)).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let one = asked(&mut conn, &["a"]).await;
    assert_eq!(asked(&mut conn, &keys).await, one);
    assert_eq!(one, 3);
    assert_eq!(asked(&mut conn, &[]).await, 0);
}

/// Half of the keys are new to each round, and all are forgotten meanwhile as soon as they can be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_whose_keys_overlap_in_opposite_orders_never_wait_in_a_circle() {
    let queue = TestQueue::new().await;
    let pool = connect(queue.url(), "worker", 5).await;
    let limit = RateLimit {
        burst: NonZeroU32::new(2).unwrap(),
        period: Duration::from_micros(1),
        max_delay: HOUR,
    };
    let mut takers = JoinSet::new();
    for taker in 0..4 {
        let pool = pool.clone();
        takers.spawn(async move {
            for round in 0..150 {
                let mut keys: Vec<String> = (0..20)
                    .map(|n| {
                        format!(
                            "{:02}-{}",
                            (n * 7) % 20,
                            if n % 2 == 0 { 0 } else { round + 1 }
                        )
                    })
                    .collect();
                if (taker + round) % 2 == 0 {
                    keys.reverse();
                }
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                let mut tx = pool.begin().await.unwrap();
                let taken = take_all(&mut tx, &keys, &limit).await;
                assert_eq!(taken.expect("nobody waits in a circle").len(), 20);
                tx.commit().await.unwrap();
            }
        });
    }
    let mut conn = queue.pool.acquire().await.unwrap();
    let mut forgotten = 0;
    while !takers.is_empty() {
        forgotten += forget(&mut conn).await.expect("it waits for nobody");
        while let Some(ended) = takers.try_join_next() {
            ended.unwrap();
        }
    }
    forgotten += forget(&mut conn).await.unwrap();
    assert!(forgotten >= 10 + 10 * 150, "{forgotten} keys were in use");
}

#[tokio::test]
async fn a_take_that_is_rolled_back_gives_its_slot_back() {
    let queue = TestQueue::new().await;
    let limit = hourly(1, 5);
    let (_, first) = take_one(&queue.pool, "a", &limit).await;
    let mut tx = queue.pool.begin().await.unwrap();
    let (_, second) = take(&mut tx, "a", &limit).await.unwrap();
    tx.rollback().await.unwrap();
    let (_, again) = take_one(&queue.pool, "a", &limit).await;
    assert_eq!((hours(first, second), again), (1, second));

    // A key that is new in the transaction, too.
    let mut tx = queue.pool.begin().await.unwrap();
    take(&mut tx, "b", &limit).await.unwrap();
    drop(tx);
    assert_eq!(take_one(&queue.pool, "b", &limit).await.0, Admission::Now);
}

#[tokio::test]
async fn a_process_that_dies_before_its_commit_gives_its_slot_back_to_who_waits() {
    let queue = TestQueue::new().await;
    let limit = hourly(1, 5);
    let doomed = connect(queue.url(), "doomed", 1).await;
    let mut tx = doomed.begin().await.unwrap();
    assert_eq!(take(&mut tx, "a", &limit).await.unwrap().0, Admission::Now);
    let pool = queue.pool.clone();
    let waiting = tokio::spawn(async move { take_one(&pool, "a", &limit).await });
    let locked = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'
                  and datname = current_database()";
    until("the other waits", async || queue.number(locked).await == 1).await;
    queue
        .execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'doomed'")
        .await;
    assert_eq!(waiting.await.unwrap().0, Admission::Now);
    assert!(tx.commit().await.is_err());
}

#[tokio::test]
async fn the_clock_of_the_database_alone_brings_slots_nearer() {
    let queue = TestQueue::new().await;
    let manual = Manual::new(queue.pool.clone());
    let limit = hourly(1, 5);
    for _ in 0..3 {
        take_one(&queue.pool, "a", &limit).await;
    }
    manual.advance(HOUR * 2 + HOUR / 2).await;
    let (next, _) = take_one(&queue.pool, "a", &limit).await;
    let Admission::At { wait, .. } = next else {
        panic!("{next:?}");
    };
    assert!(wait > HOUR / 3 && wait <= HOUR / 2, "{wait:?}");
    manual.advance(HOUR * 2).await;
    let (next, _) = take_one(&queue.pool, "a", &limit).await;
    assert_eq!(next, Admission::Now);
}

#[tokio::test]
async fn a_transaction_that_began_long_ago_is_judged_by_the_time_at_which_it_asks() {
    let queue = TestQueue::new().await;
    let limit = RateLimit {
        burst: NonZeroU32::MIN,
        period: Duration::from_millis(100),
        max_delay: NONE,
    };
    let mut old = queue.pool.begin().await.unwrap();
    sqlx::query("select now()")
        .execute(&mut *old)
        .await
        .unwrap();
    take_one(&queue.pool, "a", &limit).await;
    let passed = "select count(*) from queue.rate_limits
                  where tat_ns < extract(epoch from clock_timestamp()) * 1000000000";
    until("the limit has recovered", async || {
        queue.number(passed).await == 1
    })
    .await;
    let (taken, _) = take(&mut old, "a", &limit).await.unwrap();
    assert_eq!(taken, Admission::Now);
}

#[tokio::test]
async fn a_limit_that_is_lowered_takes_no_given_slot_back_and_holds_from_then_on() {
    let queue = TestQueue::new().await;
    let mut last = None;
    for _ in 0..30 {
        last = Some(take_one(&queue.pool, "a", &hourly(10, 24)).await.1);
    }
    let lower = RateLimit {
        period: HOUR * 2,
        ..hourly(1, 48)
    };
    let (_, next) = take_one(&queue.pool, "a", &lower).await;
    let (_, after) = take_one(&queue.pool, "a", &lower).await;
    assert!(next > last.unwrap());
    assert_eq!(hours(next, after), 2);
    let (refused, _) = take_one(&queue.pool, "a", &hourly(1, 1)).await;
    assert!(matches!(refused, Admission::Refused { .. }), "{refused:?}");
}

#[tokio::test]
async fn what_has_recovered_is_forgotten_and_nothing_else_and_nobody_waits_for_that() {
    let queue = TestQueue::new().await;
    queue
        .execute(
            "insert into queue.rate_limits
             select 'recovered ' || n, (extract(epoch from now()) - n) * 1000000000
             from generate_series(1, 12000) as n",
        )
        .await;
    take_one(&queue.pool, "busy", &hourly(1, 5)).await;
    let mut tx = queue.pool.begin().await.unwrap();
    take(&mut tx, "recovered 7", &hourly(1, 5)).await.unwrap();
    take(&mut tx, "new", &hourly(1, 5)).await.unwrap();

    let mut conn = queue.pool.acquire().await.unwrap();
    let forgetting = tokio::time::timeout(DEADLINE, forget(&mut conn)).await;
    let forgotten = forgetting.expect("it waits for nobody").unwrap();
    assert_eq!(forgotten, 11_999);
    assert_eq!(forget(&mut conn).await.unwrap(), 0);
    tx.commit().await.unwrap();
    let left = "select array_agg(key order by key) from queue.rate_limits";
    let left: Vec<String> = sqlx::query_scalar(left)
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    assert_eq!(left, ["busy", "new", "recovered 7"]);
    let (next, _) = rate_limit::take(&mut conn, "busy", &hourly(1, 5))
        .await
        .unwrap();
    assert!(matches!(next, Admission::At { .. }), "{next:?}");
}

#[tokio::test]
async fn the_maintenance_forgets_what_has_recovered() {
    let queue = TestQueue::new().await;
    let deps = CleanupQueueDeps {
        pool: queue.pool.clone(),
        keep_dead_jobs: HOUR,
    };
    let manual = Manual::new(queue.pool.clone()).register::<CleanupQueue, _>(deps);
    take_one(&queue.pool, "a", &hourly(1, 5)).await;
    let kept = "select count(*) from queue.rate_limits";
    for (kept_after, passes) in [(1, HOUR / 2), (0, HOUR)] {
        manual.advance(passes).await;
        queue.enqueue(CleanupQueue {}).await;
        manual.drain().await;
        manual.assert_empty().await;
        assert_eq!(queue.number(kept).await, kept_after);
    }
}
