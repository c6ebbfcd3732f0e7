//! The state of a send only moves up.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use sqlx::Connection;
use store::sends::{Move, SendState, advance, advance_named, known_names};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::sends::to;
use crate::support::Db;

const STATES: [SendState; 7] = [
    SendState::Pending,
    SendState::Sending,
    SendState::Unknown,
    SendState::Sent,
    SendState::Undelivered,
    SendState::Failed,
    SendState::Delivered,
];

fn rank(state: SendState) -> usize {
    let at = STATES.iter().position(|s| *s == state).unwrap();
    // Undelivered and failed share a rank.
    if at > 4 { at - 1 } else { at }
}

fn named(sid: &str, state: SendState) -> Move<'_> {
    Move {
        twilio_sid: Some(sid),
        ..to(state)
    }
}

impl Db {
    async fn sid(&mut self, id: Uuid) -> String {
        let sid =
            format!("select coalesce(twilio_sid, 'none') from pigeonhole.sends where id = '{id}'");
        self.text(&sid).await
    }
}

#[test]
fn in_whatever_order_and_however_often_it_is_moved_the_highest_state_stays() {
    let runtime = Runtime::new().unwrap();
    let _within = runtime.enter();
    let (db, user) = runtime.block_on(async {
        let mut db = Db::migrated().await;
        let user = db.user().await;
        (Mutex::new(db), user)
    });
    let config = Config {
        cases: 100,
        failure_persistence: None,
        ..Config::default()
    };
    let way = |state| prop_oneof![Just((state, 0)), Just((state, 1)), Just((state, 2))];
    let sequences = proptest::collection::vec(select(STATES.to_vec()).prop_flat_map(way), 1..12);
    let checked = TestRunner::new(config).run(&sequences, |moves| {
        runtime.block_on(async {
            let mut db = db.lock().await;
            let id = db.send(user).await;
            let sid = format!("SM{id}");
            let (mut now, mut has_name) = (SendState::Pending, false);
            for (state, way) in moves {
                let answer = match way {
                    0 => advance(&mut db, id, to(state)).await,
                    1 => advance(&mut db, id, named(&sid, state)).await,
                    _ => advance_named(&mut db, &sid, named("ignored", state)).await,
                };
                has_name |= way == 1;
                let higher = rank(state) > rank(now) && (way != 2 || has_name);
                assert_eq!(answer.unwrap(), higher, "{now:?} to {state:?}");
                if higher {
                    now = state;
                }
                let send = db.loaded(id).await;
                assert_eq!(send.state, now);
                assert_eq!(send.message.is_none(), rank(now) >= 4);
                let expected = if has_name { sid.as_str() } else { "none" };
                assert_eq!(db.sid(id).await, expected);
            }
        });
        Ok(())
    });
    checked.unwrap();
}

#[tokio::test]
async fn of_moves_at_once_each_step_up_is_made_once_and_the_highest_stays() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let crowd = db.crowd().await;
    for _ in 0..10 {
        let id = db.send(user).await;
        let sid = format!("SM{id}");
        let tasks: Vec<_> = (0..28)
            .map(|n| {
                let (crowd, sid) = (crowd.clone(), sid.clone());
                tokio::spawn(async move {
                    let mut conn = crowd.acquire().await.unwrap();
                    let state = STATES[n % STATES.len()];
                    let moved = advance(&mut conn, id, named(&sid, state)).await.unwrap();
                    moved.then_some(rank(state))
                })
            })
            .collect();
        let mut reached = Vec::new();
        for task in tasks {
            reached.extend(task.await.unwrap());
        }
        reached.sort_unstable();
        let steps = reached.len();
        reached.dedup();
        assert_eq!(reached.len(), steps, "a rank was reached twice");
        assert_eq!(reached.last(), Some(&5));
        assert_eq!(db.loaded(id).await.state, SendState::Delivered);
        assert_eq!(db.sid(id).await, sid);
    }
}

#[tokio::test]
async fn a_name_once_given_stays_and_belongs_to_one_send() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let (first, second) = (db.send(user).await, db.send(user).await);
    assert!(
        advance(&mut db, first, named("SM1", SendState::Sent))
            .await
            .unwrap()
    );
    // Another's name, and another name: both are about another SMS.
    assert!(
        !advance(&mut db, second, named("SM1", SendState::Delivered))
            .await
            .unwrap()
    );
    assert!(
        !advance(&mut db, first, named("SM2", SendState::Delivered))
            .await
            .unwrap()
    );
    assert_eq!(db.loaded(first).await.state, SendState::Sent);
    assert_eq!(db.loaded(second).await.state, SendState::Pending);
    assert_eq!(
        (db.sid(first).await, db.sid(second).await),
        ("SM1".into(), "none".into())
    );

    // The name is kept although the state stays.
    assert!(
        advance(&mut db, second, to(SendState::Delivered))
            .await
            .unwrap()
    );
    assert!(
        !advance(&mut db, second, named("SM2", SendState::Sent))
            .await
            .unwrap()
    );
    assert_eq!(db.sid(second).await, "SM2");
    assert!(
        !advance_named(&mut db, "SM3", to(SendState::Delivered))
            .await
            .unwrap()
    );
    assert!(
        !advance(&mut db, Uuid::new_v4(), named("SM3", SendState::Sent))
            .await
            .unwrap()
    );
    let names = ["SM3", "SM2", "SM1"].map(String::from);
    assert_eq!(known_names(&mut db, &names).await.unwrap(), ["SM1", "SM2"]);
}

#[tokio::test]
async fn of_two_sends_that_get_a_name_at_once_one_has_it_and_both_transactions_live_on() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let (first, second) = (db.send(user).await, db.send(user).await);
    let mut one = db.pool.acquire().await.unwrap();
    let mut tx = one.begin().await.unwrap();
    assert!(
        advance(&mut tx, first, named("SM1", SendState::Sent))
            .await
            .unwrap()
    );
    let pool = db.pool.clone();
    let other = tokio::spawn(async move {
        let mut tx = pool.begin().await.unwrap();
        let named = advance(&mut tx, second, named("SM1", SendState::Sent))
            .await
            .unwrap();
        let moved = advance(&mut tx, second, to(SendState::Unknown))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        (named, moved)
    });
    db.until_somebody_waits().await;
    tx.commit().await.unwrap();
    assert_eq!(other.await.unwrap(), (false, true));
    assert_eq!(db.loaded(second).await.state, SendState::Unknown);
    assert_eq!(
        (db.sid(first).await, db.sid(second).await),
        ("SM1".into(), "none".into())
    );
}
