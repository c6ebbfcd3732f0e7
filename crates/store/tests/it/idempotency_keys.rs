use std::time::Duration;

use sqlx::Connection;
use store::StoreError;
use store::idempotency_keys::{KeyState, delete_expired, reserve, store_response};
use uuid::Uuid;

use crate::support::{Db, keyring, rotated};

const REQUEST: &[u8] = b"POST /api/user/phone-number {\"phoneNumber\":\"+12025550143\"}";
const ANSWER: &[u8] = b"{\"phoneNumber\":\"+12025550143\"}";

fn before() -> KeyState {
    KeyState::Before {
        status: 201,
        body: ANSWER.to_vec(),
    }
}

impl Db {
    async fn answer(&mut self, user: Uuid, key: &str) {
        let seen = reserve(self, &keyring(), user, key, REQUEST).await;
        assert_eq!(seen.unwrap(), KeyState::New);
        store_response(self, &keyring(), user, key, 201, ANSWER)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_repeat_is_answered_alike_and_another_request_is_told_apart() {
    let mut db = Db::migrated().await;
    let (user, other) = (db.user().await, db.user().await);
    db.answer(user, "key").await;
    let seen = reserve(&mut db, &keyring(), user, "key", REQUEST).await;
    assert_eq!(seen.unwrap(), before());
    let seen = reserve(&mut db, &keyring(), user, "key", b"another").await;
    assert_eq!(seen.unwrap(), KeyState::ForAnother);
    // Another key, and the same key of another user, are new.
    db.answer(user, "another key").await;
    db.answer(other, "key").await;

    let again = store_response(&mut db, &keyring(), user, "key", 500, b"").await;
    assert!(matches!(again, Err(StoreError::NotOneRow { .. })));
    let seen = reserve(&mut db, &keyring(), user, "key", REQUEST).await;
    assert_eq!(seen.unwrap(), before());

    let rows = db.dump("pigeonhole.idempotency_keys").await;
    assert!(
        !rows.contains("2025550143") && !rows.contains("\"key\""),
        "{rows}"
    );
}

#[tokio::test]
async fn of_many_repeats_at_once_one_is_new_and_the_others_get_its_answer() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let crowd = db.crowd().await;
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let crowd = crowd.clone();
            tokio::spawn(async move {
                let mut tx = crowd.begin().await.unwrap();
                let seen = reserve(&mut tx, &keyring(), user, "key", REQUEST)
                    .await
                    .unwrap();
                if seen == KeyState::New {
                    store_response(&mut tx, &keyring(), user, "key", 201, ANSWER)
                        .await
                        .unwrap();
                    tx.commit().await.unwrap();
                }
                seen
            })
        })
        .collect();
    let mut new = 0;
    for task in tasks {
        match task.await.unwrap() {
            KeyState::New => new += 1,
            seen => assert_eq!(seen, before()),
        }
    }
    assert_eq!(new, 1);
}

#[tokio::test]
async fn a_reservation_that_came_to_nothing_leaves_the_key_free() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let mut tx = db.begin().await.unwrap();
    for _ in 0..2 {
        // Its own reservation, without an answer, is in nobody's way.
        let seen = reserve(&mut tx, &keyring(), user, "key", REQUEST).await;
        assert_eq!(seen.unwrap(), KeyState::New);
    }
    tx.rollback().await.unwrap();
    db.answer(user, "key").await;
}

#[tokio::test]
async fn a_key_is_known_after_a_rotation_and_forgotten_after_its_time() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    db.answer(user, "key").await;
    let seen = reserve(&mut db, &rotated(), user, "key", REQUEST).await;
    assert_eq!(seen.unwrap(), before());

    let day = Duration::from_hours(24);
    db.run("update pigeonhole.idempotency_keys set created_at = created_at - interval '23 h'")
        .await;
    assert_eq!(delete_expired(&mut db, day).await.unwrap(), 0);
    db.run("update pigeonhole.idempotency_keys set created_at = created_at - interval '1 h'")
        .await;
    assert_eq!(delete_expired(&mut db, day).await.unwrap(), 1);
    db.answer(user, "key").await;
}

#[tokio::test]
async fn nobody_who_does_not_exist_reserves_a_key() {
    let mut db = Db::migrated().await;
    let seen = reserve(&mut db, &keyring(), Uuid::new_v4(), "key", REQUEST).await;
    assert!(matches!(seen, Err(StoreError::UserGone { .. })), "{seen:?}");
}
