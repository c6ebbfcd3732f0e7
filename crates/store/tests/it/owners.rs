//! Numbers that were proved, and what holds on to them.

use sqlx::Connection;
use store::pending_verifications;
use store::user_phone_numbers::{
    find_verified_user, has_another, hold_verified, link, list, of_user, prove, unlink, unlink_user,
};
use store::{StoreError, migrate};
use uuid::Uuid;

use crate::pending_verifications::{NUMBER, OTHER};
use crate::support::{APP, Db, app_user, keyring, number, rotated};

impl Db {
    async fn link(&mut self, user: Uuid, text: &str) {
        link(self, &keyring(), user, &number(text)).await.unwrap();
    }

    async fn unverified(&mut self, user: Uuid, text: &str) {
        self.link(user, text).await;
        let index = keyring().blind_index(text).as_str().to_owned();
        self.run(&format!(
            "update user_phone_numbers set verified = null, verification_code = 'abcdef' where phone_number = '{index}'"
        ))
        .await;
    }

    /// Who has which number, verified or not.
    async fn numbers(&mut self) -> Vec<(Uuid, String, bool)> {
        let rows = list(self, &rotated(), None).await.unwrap();
        rows.into_iter()
            .map(|row| {
                (
                    row.user_id,
                    row.number.unwrap().as_str().to_owned(),
                    row.verified,
                )
            })
            .collect()
    }
}

#[tokio::test]
async fn a_proof_takes_the_number_from_everybody_else_and_ends_the_users_own_unverified_rows() {
    let mut db = Db::migrated().await;
    let (user, other) = (db.user().await, db.user().await);
    db.link(other, NUMBER).await;
    db.link(other, "+12025550145").await;
    db.unverified(user, OTHER).await;
    db.unverified(other, "+12025550146").await;
    prove(&mut db, &keyring(), user, &number(NUMBER))
        .await
        .unwrap();
    assert_eq!(
        db.numbers().await,
        [
            (other, String::from("+12025550145"), true),
            (other, String::from("+12025550146"), false),
            (user, String::from(NUMBER), true),
        ]
    );
    // Again changes nothing, and under a new key the row moves to it.
    prove(&mut db, &keyring(), user, &number(NUMBER))
        .await
        .unwrap();
    prove(&mut db, &rotated(), user, &number(NUMBER))
        .await
        .unwrap();
    assert_eq!(db.numbers().await.len(), 3);
    let index = rotated().blind_index(NUMBER).as_str().to_owned();
    assert!(db.dump("user_phone_numbers").await.contains(&index));
}

#[tokio::test]
async fn a_row_in_clear_that_the_app_wrote_gives_way_to_a_proof_too() {
    let mut db = Db::app(&[APP]).await;
    migrate(&db.pool).await.unwrap();
    let clear = "select phone_number from user_phone_numbers where verified and phone_number like '+%' limit 1";
    let text = db.text(clear).await;
    let owner = find_verified_user(&mut db, &keyring(), &number(&text)).await;
    let owner = owner.unwrap().unwrap();
    let user = (1..9).map(app_user).find(|user| *user != owner).unwrap();
    assert!(
        hold_verified(&mut db, &keyring(), owner, &number(&text))
            .await
            .unwrap()
    );
    prove(&mut db, &keyring(), user, &number(&text))
        .await
        .unwrap();
    assert!(!db.dump("user_phone_numbers").await.contains(&text));
    assert!(
        !hold_verified(&mut db, &keyring(), owner, &number(&text))
            .await
            .unwrap()
    );
    assert!(
        hold_verified(&mut db, &keyring(), user, &number(&text))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_users_number_is_the_verified_one_and_else_the_newest() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    assert!(of_user(&mut db, &keyring(), user).await.unwrap().is_none());
    assert!(
        !has_another(&mut db, &keyring(), user, &number(NUMBER))
            .await
            .unwrap()
    );
    db.unverified(user, NUMBER).await;
    db.run("update user_phone_numbers set created_at = created_at - interval '1 h'")
        .await;
    db.unverified(user, OTHER).await;
    let found = of_user(&mut db, &keyring(), user).await.unwrap().unwrap();
    assert!(found.number == Some(number(OTHER)) && !found.verified);
    assert!(
        !has_another(&mut db, &keyring(), user, &number(NUMBER))
            .await
            .unwrap()
    );

    db.run(
        "update user_phone_numbers set verified = true where created_at < now() - interval '1 m'",
    )
    .await;
    let found = of_user(&mut db, &keyring(), user).await.unwrap().unwrap();
    assert!(found.number == Some(number(NUMBER)) && found.verified);
    assert!(
        has_another(&mut db, &rotated(), user, &number(OTHER))
            .await
            .unwrap()
    );
    assert!(
        !has_another(&mut db, &rotated(), user, &number(NUMBER))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn unlinking_a_user_takes_their_numbers_and_nobody_elses() {
    let mut db = Db::migrated().await;
    let (user, other) = (db.user().await, db.user().await);
    db.link(user, NUMBER).await;
    db.unverified(user, "+12025550145").await;
    db.link(other, OTHER).await;
    assert_eq!(unlink_user(&mut db, user).await.unwrap(), 2);
    assert_eq!(unlink_user(&mut db, user).await.unwrap(), 0);
    assert_eq!(unlink_user(&mut db, Uuid::new_v4()).await.unwrap(), 0);
    assert_eq!(db.numbers().await, [(other, String::from(OTHER), true)]);
}

#[tokio::test]
async fn an_operators_unlinking_ends_all_claims_on_the_number() {
    let mut db = Db::migrated().await;
    let (owner, claimant, other) = (db.user().await, db.user().await, db.user().await);
    db.link(owner, NUMBER).await;
    db.issue_code(claimant, NUMBER).await;
    db.issue_code(other, OTHER).await;
    assert_eq!(
        unlink(&mut db, &rotated(), &number(NUMBER)).await.unwrap(),
        2
    );
    assert_eq!(
        unlink(&mut db, &rotated(), &number(NUMBER)).await.unwrap(),
        0
    );
    assert!(db.numbers().await.is_empty());
    let claim = pending_verifications::of_user(&mut db, &keyring(), claimant).await;
    assert!(claim.unwrap().is_none());
    let claim = pending_verifications::of_user(&mut db, &keyring(), other).await;
    assert!(claim.unwrap().is_some());
}

#[tokio::test]
async fn nobody_who_does_not_exist_proves_a_number() {
    let mut db = Db::migrated().await;
    let error = prove(&mut db, &keyring(), Uuid::new_v4(), &number(NUMBER)).await;
    assert!(
        matches!(error, Err(StoreError::UserGone { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_number_that_is_held_is_unlinked_after_the_transaction_and_not_before() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    db.link(user, NUMBER).await;
    let mut holder = db.pool.acquire().await.unwrap();
    let mut tx = holder.begin().await.unwrap();
    assert!(
        hold_verified(&mut tx, &keyring(), user, &number(NUMBER))
            .await
            .unwrap()
    );
    let pool = db.pool.clone();
    let unlinking = tokio::spawn(async move {
        let mut conn = pool.acquire().await.unwrap();
        unlink_user(&mut conn, user).await.unwrap()
    });
    db.until_somebody_waits().await;
    let owner = find_verified_user(&mut db, &keyring(), &number(NUMBER)).await;
    assert_eq!(owner.unwrap(), Some(user));
    tx.commit().await.unwrap();
    assert_eq!(unlinking.await.unwrap(), 1);
    assert!(
        !hold_verified(&mut db, &keyring(), user, &number(NUMBER))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn who_asks_for_a_number_that_is_being_taken_waits_and_sees_it_gone() {
    let mut db = Db::migrated().await;
    let (user, other) = (db.user().await, db.user().await);
    db.link(user, NUMBER).await;
    let mut taker = db.pool.acquire().await.unwrap();
    let mut tx = taker.begin().await.unwrap();
    prove(&mut tx, &keyring(), other, &number(NUMBER))
        .await
        .unwrap();
    let pool = db.pool.clone();
    let holding = tokio::spawn(async move {
        let mut conn = pool.acquire().await.unwrap();
        hold_verified(&mut conn, &keyring(), user, &number(NUMBER))
            .await
            .unwrap()
    });
    db.until_somebody_waits().await;
    tx.commit().await.unwrap();
    assert!(!holding.await.unwrap());
}

#[tokio::test]
async fn a_users_deletion_waits_for_what_is_written_for_them() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    db.link(user, NUMBER).await;
    let mut holder = db.pool.acquire().await.unwrap();
    let mut tx = holder.begin().await.unwrap();
    assert!(
        hold_verified(&mut tx, &keyring(), user, &number(NUMBER))
            .await
            .unwrap()
    );
    let pool = db.pool.clone();
    let deletion = tokio::spawn(async move {
        sqlx::raw_sql("delete from users")
            .execute(&pool)
            .await
            .unwrap();
    });
    db.until_somebody_waits().await;
    // Refers to the user. Had the deletion got hold of the user, each would wait for the other.
    sqlx::raw_sql("insert into enrichment_items (user_id, item_type, action, value) select id, 'tag', 'add', 'x' from users")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    deletion.await.unwrap();
    assert_eq!(db.dump("enrichment_items").await, "");
}
