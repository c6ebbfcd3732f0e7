//! Rate limits as production uses them: `reserve_starts`, over `queue.read_rate_limits` and
//! `queue.update_rate_limits`. They are exact over all processes, and a message and its reservation
//! are written together.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use queue::rate_limit::{Admission, RateLimit, RateLimitSnapshot, delete_expired};
use queue::testing::TestQueue;
use queue::{CleanupQueue, CleanupQueueDeps, enqueue};
use sqlx::{Connection, PgConnection, PgPool};
use store::inbound_messages::{ReservationRequest, reserve_starts};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::support::Db;

const HOUR: Duration = Duration::from_hours(1);
const DEADLINE: Duration = Duration::from_secs(30);

/// At most `burst` at once, one an hour, and reservations at most `max_hours` ahead.
fn hourly(burst: u32, max_hours: u32) -> RateLimit {
    RateLimit {
        burst: NonZeroU32::new(burst).unwrap(),
        period: HOUR,
        max_delay: HOUR * max_hours,
    }
}

/// A decision, and when the message may start; `None` if it was refused.
type Decision = (Admission, Option<DateTime<Utc>>);

/// Stores new messages, one for each key.
async fn new_messages(conn: &mut PgConnection, keys: &[&str]) -> Vec<ReservationRequest> {
    let requests: Vec<ReservationRequest> = keys
        .iter()
        .map(|key| ReservationRequest {
            message_sid: format!("SM{}", Uuid::new_v4().simple()),
            rate_key: (*key).to_owned(),
            sent_at: None,
        })
        .collect();
    let sids: Vec<&str> = requests.iter().map(|r| r.message_sid.as_str()).collect();
    sqlx::query(
        "insert into pigeonhole.inbound_messages (message_sid, account_sid, sender_index)
         select sid, 'AC1', 'sender' from unnest($1::text[]) as sid",
    )
    .bind(sids)
    .execute(conn)
    .await
    .unwrap();
    requests
}

/// Reserves starts for these messages, and reads when they may start.
async fn reserve(
    conn: &mut PgConnection,
    requests: &[ReservationRequest],
    limit: &RateLimit,
) -> Vec<Decision> {
    let admissions = reserve_starts(conn, limit, requests, RateLimitSnapshot::default())
        .await
        .unwrap();
    let sids: Vec<&str> = requests.iter().map(|r| r.message_sid.as_str()).collect();
    let starts: Vec<(String, Option<DateTime<Utc>>)> = sqlx::query_as(
        "select message_sid, reserved_for from pigeonhole.inbound_messages
         where message_sid = any($1)",
    )
    .bind(sids)
    .fetch_all(conn)
    .await
    .unwrap();
    let starts: HashMap<String, Option<DateTime<Utc>>> = starts.into_iter().collect();
    let starts = requests.iter().map(|request| starts[&request.message_sid]);
    admissions.into_iter().zip(starts).collect()
}

/// Reserves a start for a new message under this key.
async fn reserve_one(conn: &mut PgConnection, key: &str, limit: &RateLimit) -> Decision {
    let requests = new_messages(conn, &[key]).await;
    reserve(conn, &requests, limit).await[0]
}

fn is_refused(decision: &Decision) -> bool {
    matches!(decision.0, Admission::Refused { .. })
}

/// Whole hours between two starts.
fn hours(from: DateTime<Utc>, to: DateTime<Utc>) -> i64 {
    let hours = (to - from).num_hours();
    assert_eq!(
        to - from,
        TimeDelta::hours(hours),
        "{from} to {to} is not whole"
    );
    hours
}

async fn number(conn: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(conn).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_at_once_the_burst_starts_now_and_every_other_gets_a_reservation_of_its_own() {
    let db = Db::migrated().await;
    let pool = db.crowd().await;
    let limit = hourly(10, 20);
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let pool = pool.clone();
        tasks.spawn(async move {
            let mut conn = pool.acquire().await.unwrap();
            reserve_one(&mut conn, "busy", &limit).await
        });
    }
    let decisions = tasks.join_all().await;

    let count = |is: fn(&Decision) -> bool| decisions.iter().filter(|d| is(d)).count();
    assert_eq!(count(|decision| decision.0 == Admission::Now), 10);
    assert_eq!(count(is_refused), 70);
    let mut starts: Vec<_> = decisions
        .iter()
        .filter_map(|(admission, written)| match admission {
            Admission::At { starts_at, .. } => {
                assert_eq!(Some(*starts_at), *written);
                Some(*starts_at)
            }
            Admission::Now | Admission::Refused { .. } => None,
        })
        .collect();
    starts.sort_unstable();
    let first = decisions.iter().filter_map(|d| d.1).min().unwrap();
    let ahead: Vec<i64> = starts.iter().map(|start| hours(first, *start)).collect();
    assert_eq!(ahead, (1..=20).collect::<Vec<i64>>());
}

/// Every task reserves as fast as it can, for a second or so, while the clock runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_every_window_of_real_time_the_starts_obey_the_limit() {
    const BURST: i64 = 3;
    const PERIOD: i64 = 20_000; // in microseconds
    let db = Db::migrated().await;
    let limit = RateLimit {
        burst: NonZeroU32::new(3).unwrap(),
        period: Duration::from_millis(20),
        max_delay: Duration::from_millis(30),
    };
    let mut tasks = JoinSet::new();
    for _ in 0..6 {
        let pool = db.pool.clone();
        tasks.spawn(async move {
            let mut starts = Vec::new();
            for _ in 0..100 {
                let mut conn = pool.acquire().await.unwrap();
                let decision = reserve_one(&mut conn, "busy", &limit).await;
                assert_eq!(decision.1.is_none(), is_refused(&decision));
                starts.extend(decision.1.map(|start| start.timestamp_micros()));
            }
            starts
        });
    }
    let mut starts = tasks.join_all().await.concat();
    starts.sort_unstable();
    assert!(starts.len() > 10, "{} starts", starts.len());
    for (first, from) in starts.iter().enumerate() {
        for (count, to) in (1..).zip(&starts[first..]) {
            let most = BURST + (to - from) / PERIOD;
            assert!(count <= most, "{count} starts, not {most}: {starts:?}");
        }
    }
}

#[tokio::test]
async fn a_refused_message_costs_its_key_nothing() {
    let mut db = Db::migrated().await;
    for _ in 0..3 {
        reserve_one(&mut db, "a", &hourly(1, 2)).await;
    }
    let tat = "select tat_ns from queue.rate_limits";
    let last = number(&mut db, tat).await;
    for _ in 0..3 {
        let before = store::now(&mut db).await.unwrap();
        let (refused, start) = reserve_one(&mut db, "a", &hourly(1, 2)).await;
        let after = store::now(&mut db).await.unwrap();
        let Admission::Refused { wait } = refused else {
            panic!("{refused:?}");
        };
        assert!(wait > HOUR * 2 && wait <= HOUR * 3, "{wait:?}");
        assert_eq!(start, None);
        // It would have started when the last reservation is over.
        let would_start = DateTime::from_timestamp_nanos(last) - TimeDelta::from_std(wait).unwrap();
        assert!(would_start >= before && would_start <= after);
        assert_eq!(number(&mut db, tat).await, last);
    }
    let (later, _) = reserve_one(&mut db, "a", &hourly(1, 3)).await;
    assert!(matches!(later, Admission::At { .. }), "{later:?}");
    let (other, _) = reserve_one(&mut db, "b", &hourly(1, 0)).await;
    assert_eq!(other, Admission::Now, "every key has a limit of its own");
}

/// The decision about each message: its key, whether it starts now, and otherwise its reservation
/// in hours from the first start of its key; none if it was refused.
fn summary(keys: &[&str], decisions: &[Decision]) -> Vec<(String, bool, Option<i64>)> {
    let mut first = BTreeMap::new();
    let summary = keys.iter().zip(decisions).map(|(key, decision)| {
        let now = decision.0 == Admission::Now;
        assert_eq!(decision.1.is_none(), is_refused(decision));
        let ahead = decision.1.map(|start| {
            let first = *first.entry(*key).or_insert(start);
            (start, first)
        });
        let ahead = ahead
            .filter(|_| !now)
            .map(|(start, first)| hours(first, start));
        ((*key).to_owned(), now, ahead)
    });
    summary.collect()
}

#[tokio::test]
async fn a_batch_gets_the_decisions_that_its_messages_would_get_one_by_one() {
    let mut db = Db::migrated().await;
    let limit = hourly(2, 3);
    let keys: Vec<&str> = "c a b a a c d a a a a b c b b c c c d a c"
        .split(' ')
        .collect();

    let mut tx = db.begin().await.unwrap();
    let requests = new_messages(&mut tx, &keys).await;
    let batch = reserve(&mut tx, &requests, &limit).await;
    tx.rollback().await.unwrap();
    let mut one_by_one = Vec::new();
    for key in &keys {
        one_by_one.push(reserve_one(&mut db, key, &limit).await);
    }

    let batch = summary(&keys, &batch);
    assert_eq!(batch, summary(&keys, &one_by_one));
    let of_a: Vec<_> = batch.iter().filter(|event| event.0 == "a").collect();
    let now: Vec<bool> = of_a.iter().map(|event| event.1).collect();
    assert_eq!(now[..3], [true, true, false]);
    let ahead: Vec<Option<i64>> = of_a.iter().map(|event| event.2).collect();
    assert_eq!(ahead[2..6], [Some(1), Some(2), Some(3), None]);
}

/// Counts the statements that sqlx reports on this thread.
#[derive(Clone, Default)]
struct StatementCounter(Arc<AtomicUsize>);

impl tracing::Subscriber for StatementCounter {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn a_batch_costs_two_statements_whatever_its_size() {
    let mut db = Db::migrated().await;
    let limit = hourly(2, 3);
    let counter = StatementCounter::default();
    let _guard = tracing::subscriber::set_default(counter.clone());
    let count_of = async |db: &mut Db, keys: &[&str]| {
        let requests = new_messages(db, keys).await;
        let before = counter.0.load(Ordering::SeqCst);
        reserve_starts(db, &limit, &requests, RateLimitSnapshot::default())
            .await
            .unwrap();
        counter.0.load(Ordering::SeqCst) - before
    };
    let keys: Vec<String> = (0..500).map(|n| format!("key {}", n % 300)).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let one = count_of(&mut db, &["a"]).await;
    assert_eq!(count_of(&mut db, &keys).await, one);
    assert_eq!(one, 2);
    assert_eq!(count_of(&mut db, &[]).await, 0);
}

/// Half of the keys are new in each round, and all are deleted meanwhile as soon as they have
/// expired.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_whose_keys_overlap_in_opposite_orders_never_deadlock() {
    let db = Db::migrated().await;
    let limit = RateLimit {
        burst: NonZeroU32::new(2).unwrap(),
        period: Duration::from_micros(1),
        max_delay: HOUR,
    };
    let mut tasks = JoinSet::new();
    for task in 0..4 {
        let pool = db.pool.clone();
        tasks.spawn(async move {
            for round in 0..150 {
                let mut keys: Vec<String> = (0..20)
                    .map(|n| {
                        let round = if n % 2 == 0 { 0 } else { round + 1 };
                        format!("{:02}-{round}", (n * 7) % 20)
                    })
                    .collect();
                if (task + round) % 2 == 0 {
                    keys.reverse();
                }
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                let mut conn = pool.acquire().await.unwrap();
                let requests = new_messages(&mut conn, &keys).await;
                // Without a transaction around it, as the worker calls it: it may need several calls.
                let admissions =
                    reserve_starts(&mut conn, &limit, &requests, RateLimitSnapshot::default())
                        .await;
                assert_eq!(admissions.expect("no deadlock").len(), 20);
            }
        });
    }
    let mut conn = db.pool.acquire().await.unwrap();
    let mut deleted = 0;
    while !tasks.is_empty() {
        deleted += delete_expired(&mut conn)
            .await
            .expect("it waits for no lock");
        while let Some(ended) = tasks.try_join_next() {
            ended.unwrap();
        }
    }
    deleted += delete_expired(&mut conn).await.unwrap();
    assert!(deleted >= 10 + 10 * 150, "{deleted} keys were used");
}

#[tokio::test]
async fn a_reservation_that_is_rolled_back_is_free_again() {
    let mut db = Db::migrated().await;
    let limit = hourly(1, 5);
    let (_, first) = reserve_one(&mut db, "a", &limit).await;
    let mut tx = db.begin().await.unwrap();
    let (_, second) = reserve_one(&mut tx, "a", &limit).await;
    tx.rollback().await.unwrap();
    let (_, again) = reserve_one(&mut db, "a", &limit).await;
    assert_eq!((hours(first.unwrap(), second.unwrap()), again), (1, second));

    // The same for a key that is new in the transaction.
    let mut tx = db.begin().await.unwrap();
    reserve_one(&mut tx, "b", &limit).await;
    drop(tx);
    assert_eq!(reserve_one(&mut db, "b", &limit).await.0, Admission::Now);
}

#[tokio::test]
async fn when_a_process_dies_before_its_commit_the_waiting_one_gets_its_start() {
    let mut db = Db::migrated().await;
    let limit = hourly(1, 5);
    let options = (*db.pool.connect_options()).clone();
    let mut doomed = PgConnection::connect_with(&options.application_name("doomed"))
        .await
        .unwrap();
    let mut tx = doomed.begin().await.unwrap();
    let first = reserve_one(&mut tx, "a", &limit).await;
    assert_eq!(first.0, Admission::Now);
    let pool: PgPool = db.pool.clone();
    let waiting = tokio::spawn(async move {
        let mut conn = pool.acquire().await.unwrap();
        reserve_one(&mut conn, "a", &limit).await
    });
    db.until_somebody_waits().await;
    db.run(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'doomed'",
    )
    .await;
    assert_eq!(waiting.await.unwrap().0, Admission::Now);
    assert!(tx.commit().await.is_err());
}

#[tokio::test]
async fn reservations_come_nearer_by_the_databases_clock_alone() {
    let mut db = Db::migrated().await;
    let clock = TestQueue::new(db.pool.clone());
    let limit = hourly(1, 5);
    for _ in 0..3 {
        reserve_one(&mut db, "a", &limit).await;
    }
    clock.advance(HOUR * 2 + HOUR / 2).await;
    let (next, _) = reserve_one(&mut db, "a", &limit).await;
    let Admission::At { wait, .. } = next else {
        panic!("{next:?}");
    };
    assert!(wait > HOUR / 3 && wait <= HOUR / 2, "{wait:?}");
    clock.advance(HOUR * 2).await;
    let (next, _) = reserve_one(&mut db, "a", &limit).await;
    assert_eq!(next, Admission::Now);
}

#[tokio::test]
async fn an_old_transaction_is_judged_by_the_time_of_its_request() {
    let mut db = Db::migrated().await;
    let limit = RateLimit {
        burst: NonZeroU32::MIN,
        period: Duration::from_millis(100),
        max_delay: Duration::ZERO,
    };
    let pool = db.pool.clone();
    let mut old = pool.begin().await.unwrap();
    sqlx::query("select now()")
        .execute(&mut *old)
        .await
        .unwrap();
    reserve_one(&mut db, "a", &limit).await;
    let passed = "select count(*) from queue.rate_limits
                  where tat_ns < extract(epoch from clock_timestamp()) * 1000000000";
    let recovered = async {
        while number(&mut db, passed).await == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, recovered)
        .await
        .expect("the key recovers");
    let (admission, _) = reserve_one(&mut old, "a", &limit).await;
    assert_eq!(admission, Admission::Now);
}

#[tokio::test]
async fn a_lowered_limit_keeps_the_reservations_that_were_made_and_holds_for_new_ones() {
    let mut db = Db::migrated().await;
    let mut last = None;
    for _ in 0..30 {
        last = reserve_one(&mut db, "a", &hourly(10, 24)).await.1;
    }
    let lower = RateLimit {
        period: HOUR * 2,
        ..hourly(1, 48)
    };
    let (_, next) = reserve_one(&mut db, "a", &lower).await;
    let (_, after) = reserve_one(&mut db, "a", &lower).await;
    assert!(next.unwrap() > last.unwrap());
    assert_eq!(hours(next.unwrap(), after.unwrap()), 2);
    let (refused, _) = reserve_one(&mut db, "a", &hourly(1, 1)).await;
    assert!(matches!(refused, Admission::Refused { .. }), "{refused:?}");
}

#[tokio::test]
async fn expired_keys_alone_are_deleted_and_the_deletion_waits_for_no_lock() {
    let mut db = Db::migrated().await;
    db.run(
        "insert into queue.rate_limits
         select 'recovered ' || n, (extract(epoch from now()) - n) * 1000000000
         from generate_series(1, 12000) as n",
    )
    .await;
    reserve_one(&mut db, "busy", &hourly(1, 5)).await;
    let pool = db.pool.clone();
    let mut tx = pool.begin().await.unwrap();
    reserve_one(&mut tx, "recovered 7", &hourly(1, 5)).await;
    reserve_one(&mut tx, "new", &hourly(1, 5)).await;

    let deletion = timeout(DEADLINE, delete_expired(&mut db)).await;
    let deleted = deletion.expect("it waits for no lock").unwrap();
    assert_eq!(deleted, 11_999);
    assert_eq!(delete_expired(&mut db).await.unwrap(), 0);
    tx.commit().await.unwrap();
    let left = "select string_agg(key, ', ' order by key) from queue.rate_limits";
    assert_eq!(db.text(left).await, "busy, new, recovered 7");
    let (next, _) = reserve_one(&mut db, "busy", &hourly(1, 5)).await;
    assert!(matches!(next, Admission::At { .. }), "{next:?}");
}

#[tokio::test]
async fn the_cleanup_of_the_queue_deletes_expired_keys() {
    let mut db = Db::migrated().await;
    let deps = CleanupQueueDeps {
        pool: db.pool.clone().into(),
        keep_dead_jobs: HOUR,
    };
    let queue = TestQueue::new(db.pool.clone()).register::<CleanupQueue, _>(deps);
    reserve_one(&mut db, "a", &hourly(1, 5)).await;
    for (kept_after, passes) in [(1, HOUR / 2), (0, HOUR)] {
        queue.advance(passes).await;
        enqueue(&mut db, &CleanupQueue {}).await.unwrap();
        queue.drain().await;
        queue.assert_empty().await;
        let kept = number(&mut db, "select count(*) from queue.rate_limits").await;
        assert_eq!(kept, kept_after);
    }
}
