use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sqlx::{Connection, PgConnection};
use store::limit_log::{Exceeded, Limit, delete_expired, exceeded, lock, record};
use store::{Keyring, StoreError};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

use crate::support::{Db, keyring, rotated};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

fn limit(key: &str, most: u32, window: Duration) -> Limit {
    Limit {
        key: key.to_owned(),
        most,
        window,
    }
}

/// What a caller does with an event: it is refused, or admitted and counted.
async fn attempt(
    conn: &mut PgConnection,
    keyring: &Keyring,
    limits: &[Limit],
) -> Result<Option<Exceeded>, StoreError> {
    let mut tx = conn.begin().await?;
    lock(&mut tx).await?;
    let refused = exceeded(&mut tx, keyring, limits).await?;
    if refused.is_none() {
        record(&mut tx, keyring, limits).await?;
    }
    tx.commit().await?;
    Ok(refused)
}

impl Db {
    /// Time goes on, for what was counted.
    async fn wait_in_effect(&mut self, seconds: u64) {
        self.run(&format!(
            "update pigeonhole.limit_log set at = at - interval '{seconds} s'"
        ))
        .await;
    }
}

#[tokio::test]
async fn of_many_at_once_exactly_as_many_are_admitted_as_the_tightest_limit_allows() {
    let mut db = Db::migrated().await;
    let crowd = db.crowd().await;
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let crowd = crowd.clone();
            tokio::spawn(async move {
                // Everybody's number is the same and the user is one of two, so that it is the
                // number that bounds them.
                let limits = [
                    limit(&format!("user:{}", n % 2), 6, HOUR),
                    limit(&format!("user:{}", n % 2), 10, DAY),
                    limit("number:+12025550143", 7, HOUR),
                ];
                let mut conn = crowd.acquire().await.unwrap();
                attempt(&mut conn, &keyring(), &limits).await.unwrap()
            })
        })
        .collect();
    let mut admitted = 0;
    for task in tasks {
        match task.await.unwrap() {
            None => admitted += 1,
            Some(refused) => {
                let wait = refused.wait.as_secs();
                assert!((3500..=3600).contains(&wait), "{refused:?}");
            }
        }
    }
    assert_eq!(admitted, 7);
    // Two keys each: the user's two limits share one.
    let rows = db.text("select count(*)::text from pigeonhole.limit_log");
    assert_eq!(rows.await, "14");
}

#[tokio::test]
async fn room_comes_back_as_each_event_leaves_the_window_and_not_before() {
    let mut db = Db::migrated().await;
    let limits = [limit("user:1", 2, HOUR)];
    for _ in 0..2 {
        assert_eq!(attempt(&mut db, &keyring(), &limits).await.unwrap(), None);
        db.wait_in_effect(1200).await;
    }
    // The first is 40 minutes old, the second 20.
    let refused = attempt(&mut db, &keyring(), &limits).await.unwrap();
    let wait = refused.unwrap().wait;
    assert!(wait <= Duration::from_mins(20) && wait > Duration::from_mins(19));
    db.wait_in_effect(1190).await;
    assert!(
        attempt(&mut db, &keyring(), &limits)
            .await
            .unwrap()
            .is_some()
    );
    db.wait_in_effect(10).await;
    assert_eq!(attempt(&mut db, &keyring(), &limits).await.unwrap(), None);
    let wait = exceeded(&mut db, &keyring(), &limits).await.unwrap();
    let wait = wait.unwrap().wait;
    assert!(wait <= Duration::from_mins(20) && wait > Duration::from_mins(19));
}

#[tokio::test]
async fn of_several_limits_the_one_that_lasts_longest_is_told() {
    let mut db = Db::migrated().await;
    let limits = [
        limit("user:1", 1, HOUR),
        limit("ip:1", 1, DAY),
        limit("number:1", 9, DAY),
    ];
    assert_eq!(attempt(&mut db, &keyring(), &limits).await.unwrap(), None);
    let refused = exceeded(&mut db, &keyring(), &limits).await.unwrap();
    let refused = refused.unwrap();
    assert_eq!(refused.limit, 1);
    assert!(refused.wait > HOUR * 23);

    // One that allows nothing refuses for its window, whatever was counted.
    let closed = [limit("user:2", 0, HOUR), limit("user:2", 0, HOUR)];
    let refused = exceeded(&mut db, &keyring(), &closed).await.unwrap();
    assert_eq!(
        refused,
        Some(Exceeded {
            limit: 0,
            wait: HOUR
        })
    );
    assert_eq!(exceeded(&mut db, &keyring(), &[]).await.unwrap(), None);
}

#[tokio::test]
async fn a_refusal_lasts_a_second_at_least() {
    let mut db = Db::migrated().await;
    let limits = [limit("user:1", 1, HOUR)];
    record(&mut db, &keyring(), &limits).await.unwrap();
    // By statements alone this would be out of the window, at some point within the next second.
    let refused = loop {
        db.run("update pigeonhole.limit_log set at = clock_timestamp() - interval '1 h' + interval '0.5 s'")
            .await;
        if let Some(refused) = exceeded(&mut db, &keyring(), &limits).await.unwrap() {
            break refused;
        }
    };
    assert_eq!(refused.wait, Duration::from_secs(1));
}

#[tokio::test]
async fn a_rotation_of_the_keys_resets_no_limit_and_nothing_stands_in_clear() {
    let mut db = Db::migrated().await;
    let limits = [limit("number:+12025550143", 2, HOUR)];
    record(&mut db, &keyring(), &limits).await.unwrap();
    assert_eq!(attempt(&mut db, &rotated(), &limits).await.unwrap(), None);
    let refused = attempt(&mut db, &rotated(), &limits).await.unwrap();
    assert!(refused.is_some());
    let rows = db.dump("pigeonhole.limit_log").await;
    assert!(rows.contains(keyring().blind_index("number:+12025550143").as_str()));
    assert!(
        !rows.contains("2025550143") && !rows.contains("number"),
        "{rows}"
    );
}

#[tokio::test]
async fn what_no_window_reaches_is_forgotten() {
    let mut db = Db::migrated().await;
    let limits = [limit("user:1", 3, DAY)];
    for _ in 0..3 {
        record(&mut db, &keyring(), &limits).await.unwrap();
        db.wait_in_effect(9 * 3600).await;
    }
    assert_eq!(delete_expired(&mut db, DAY).await.unwrap(), 1);
    assert_eq!(delete_expired(&mut db, DAY).await.unwrap(), 0);
    assert_eq!(exceeded(&mut db, &keyring(), &limits).await.unwrap(), None);
}

#[derive(Debug, Clone)]
enum Step {
    Attempt { user: usize, number: usize },
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..2_usize, 0..2_usize).prop_map(|(user, number)| Step::Attempt { user, number }),
        1 => (1..40_u64).prop_map(|n| Step::Wait(n * 10)),
    ];
    proptest::collection::vec(step, 1..40)
}

/// Windows end between the multiples of 10 s by which time goes on here.
fn limits_of(user: usize, number: usize) -> [Limit; 3] {
    let seconds = Duration::from_secs;
    [
        limit(&format!("user:{user}"), 2, seconds(65)),
        limit(&format!("user:{user}"), 4, seconds(305)),
        limit(&format!("number:{number}"), 3, seconds(125)),
    ]
}

#[test]
fn whatever_happens_in_whatever_order_the_windows_are_exact() {
    let runtime = Runtime::new().unwrap();
    let _within = runtime.enter();
    let db = Mutex::new(runtime.block_on(Db::migrated()));
    let config = Config {
        cases: 40,
        failure_persistence: None,
        ..Config::default()
    };
    let checked = TestRunner::new(config).run(&steps(), |steps| {
        runtime.block_on(async {
            let mut db = db.lock().await;
            db.run("truncate pigeonhole.limit_log").await;
            follow(&mut db, &steps).await;
        });
        Ok(())
    });
    checked.unwrap();
}

/// Does the steps, and the same in memory, with a clock of our own.
async fn follow(db: &mut Db, steps: &[Step]) {
    let mut now = 0;
    let mut counted: Vec<(u64, usize, usize)> = Vec::new();
    for step in steps {
        let (user, number) = match *step {
            Step::Wait(seconds) => {
                db.wait_in_effect(seconds).await;
                now += seconds;
                continue;
            }
            Step::Attempt { user, number } => (user, number),
        };
        let limits = limits_of(user, number);
        let used_up = limits.iter().enumerate().filter_map(|(i, limit)| {
            let mut times = counted
                .iter()
                .rev()
                .filter(|(_, u, n)| if i < 2 { *u == user } else { *n == number })
                .map(|(at, ..)| at + limit.window.as_secs())
                .filter(|until| *until > now);
            times.nth(limit.most as usize - 1).map(|until| until - now)
        });
        let expected = used_up.max();
        let refused = attempt(db, &keyring(), &limits).await.unwrap();
        let wait = refused.map(|refused| refused.wait.as_secs_f64());
        match (wait, expected) {
            (None, None) => counted.push((now, user, number)),
            // Time goes on in the database, too.
            (Some(wait), Some(expected)) => {
                let passed = f64::from(u32::try_from(expected).unwrap()) - wait;
                assert!((-0.001..4.0).contains(&passed), "{wait} of {expected}");
            }
            other => panic!("{other:?} at {now}"),
        }
    }
}
