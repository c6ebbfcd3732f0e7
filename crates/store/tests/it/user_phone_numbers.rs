use store::user_phone_numbers::{self, find_verified_user, link, list, unlink};
use store::{Keyring, StoreError};
use uuid::Uuid;

use crate::support::{Db, NEW_KEY, keyring, number, rotated};

const NUMBER: &str = "+15555550123";

#[tokio::test]
async fn a_linked_number_is_found_and_stands_nowhere_in_clear() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let other = number("+15555550124");
    link(&mut db, &keyring(), user, &number(NUMBER))
        .await
        .unwrap();
    assert_eq!(
        find_verified_user(&mut db, &keyring(), &number(NUMBER))
            .await
            .unwrap(),
        Some(user)
    );
    assert_eq!(
        find_verified_user(&mut db, &keyring(), &other)
            .await
            .unwrap(),
        None
    );

    let rows = db.dump("user_phone_numbers").await;
    assert!(rows.contains(keyring().blind_index(NUMBER).as_str()));
    assert!(!rows.contains("5555550123"), "{rows}");
    assert!(!format!("{:?}", list(&mut db, &keyring(), None).await).contains("5555550123"));
}

#[tokio::test]
async fn linking_twice_keeps_one_row() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    for _ in 0..2 {
        link(&mut db, &keyring(), user, &number(NUMBER))
            .await
            .unwrap();
    }
    let rows = list(&mut db, &keyring(), None).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].number, Some(number(NUMBER)));
    assert!(rows[0].verified && rows[0].created_at.is_some() && rows[0].user_id == user);
}

#[tokio::test]
async fn a_number_verified_for_another_user_must_be_unlinked_first() {
    let mut db = Db::migrated().await;
    let (first, second) = (db.user().await, db.user().await);
    link(&mut db, &keyring(), first, &number(NUMBER))
        .await
        .unwrap();
    let error = link(&mut db, &keyring(), second, &number(NUMBER))
        .await
        .unwrap_err();
    assert!(
        matches!(error, StoreError::AlreadyLinked) && error.to_string().contains("unlink it first")
    );
    assert_eq!(
        find_verified_user(&mut db, &keyring(), &number(NUMBER))
            .await
            .unwrap(),
        Some(first)
    );

    assert_eq!(
        unlink(&mut db, &keyring(), &number(NUMBER)).await.unwrap(),
        1
    );
    assert_eq!(
        unlink(&mut db, &keyring(), &number(NUMBER)).await.unwrap(),
        0
    );
    assert_eq!(
        find_verified_user(&mut db, &keyring(), &number(NUMBER))
            .await
            .unwrap(),
        None
    );
    link(&mut db, &keyring(), second, &number(NUMBER))
        .await
        .unwrap();
    assert_eq!(
        find_verified_user(&mut db, &keyring(), &number(NUMBER))
            .await
            .unwrap(),
        Some(second)
    );
}

#[tokio::test]
async fn an_unverified_claim_is_no_owner_and_gives_way() {
    let mut db = Db::migrated().await;
    let (squatter, owner) = (db.user().await, db.user().await);
    link(&mut db, &keyring(), squatter, &number(NUMBER))
        .await
        .unwrap();
    db.run("update user_phone_numbers set verified = false, verification_code = 'abcdef'")
        .await;
    assert_eq!(
        find_verified_user(&mut db, &keyring(), &number(NUMBER))
            .await
            .unwrap(),
        None
    );

    link(&mut db, &keyring(), owner, &number(NUMBER))
        .await
        .unwrap();
    let rows = list(&mut db, &keyring(), None).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| row.user_id).collect::<Vec<_>>(),
        [owner]
    );
}

#[tokio::test]
async fn linking_ends_the_users_own_open_claim() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    link(&mut db, &keyring(), user, &number(NUMBER))
        .await
        .unwrap();
    db.run(
        "update user_phone_numbers set verified = null, verification_code = 'abcdef', verification_expires_at = now()",
    )
    .await;
    assert!(!list(&mut db, &keyring(), None).await.unwrap()[0].verified);
    link(&mut db, &keyring(), user, &number(NUMBER))
        .await
        .unwrap();
    let closed =
        "select (verified and verification_code is null and verification_expires_at is null)::text
                  from user_phone_numbers";
    assert_eq!(db.text(closed).await, "true");
}

#[tokio::test]
async fn a_number_linked_before_a_rotation_is_still_found_and_moves_to_the_new_key_when_linked_again()
 {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    link(&mut db, &keyring(), user, &number(NUMBER))
        .await
        .unwrap();
    assert_eq!(
        find_verified_user(&mut db, &rotated(), &number(NUMBER))
            .await
            .unwrap(),
        Some(user)
    );

    link(&mut db, &rotated(), user, &number(NUMBER))
        .await
        .unwrap();
    let only_new = Keyring::parse(NEW_KEY, "").unwrap();
    assert_eq!(
        find_verified_user(&mut db, &only_new, &number(NUMBER))
            .await
            .unwrap(),
        Some(user)
    );
    let rows = list(&mut db, &only_new, None).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].number, Some(number(NUMBER)));
}

#[tokio::test]
async fn of_two_verified_claims_the_newest_is_the_owner() {
    let mut db = Db::migrated().await;
    let (first, second) = (db.user().await, db.user().await);
    link(&mut db, &keyring(), first, &number(NUMBER))
        .await
        .unwrap();
    let only_new = Keyring::parse(NEW_KEY, "").unwrap();
    link(&mut db, &only_new, second, &number(NUMBER))
        .await
        .unwrap();
    assert_eq!(
        find_verified_user(&mut db, &rotated(), &number(NUMBER))
            .await
            .unwrap(),
        Some(second)
    );
    db.run(&format!(
        "update user_phone_numbers set created_at = now() + '1h' where user_id = '{first}'"
    ))
    .await;
    assert_eq!(
        find_verified_user(&mut db, &rotated(), &number(NUMBER))
            .await
            .unwrap(),
        Some(first)
    );
    assert_eq!(
        unlink(&mut db, &rotated(), &number(NUMBER)).await.unwrap(),
        2
    );
}

#[tokio::test]
async fn a_number_that_does_not_open_is_listed_without_it() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    for text in [NUMBER, "+15555550124"] {
        link(&mut db, &keyring(), user, &number(text))
            .await
            .unwrap();
    }
    // Swapped between rows: both were sealed by us, for another place.
    db.run(
        "update user_phone_numbers t set encrypted_phone_number =
             (select encrypted_phone_number from user_phone_numbers o where o.id <> t.id)",
    )
    .await;
    let rows = list(&mut db, &keyring(), Some(user)).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| &row.number).collect::<Vec<_>>(),
        [&None, &None]
    );
    assert!(
        list(&mut db, &keyring(), Some(Uuid::new_v4()))
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_number_cannot_be_linked_to_a_user_who_does_not_exist() {
    let mut db = Db::migrated().await;
    let error = link(&mut db, &keyring(), Uuid::new_v4(), &number(NUMBER))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::UserGone {
                table: "user_phone_numbers"
            }
        ),
        "{error:?}"
    );
    assert!(list(&mut db, &keyring(), None).await.unwrap().is_empty());
}

#[tokio::test]
async fn there_is_nothing_to_seal_where_every_row_is_ours() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    link(&mut db, &keyring(), user, &number(NUMBER))
        .await
        .unwrap();
    let before = db.dump("user_phone_numbers").await;
    assert_eq!(
        user_phone_numbers::seal_legacy(&mut db, &keyring())
            .await
            .unwrap(),
        0
    );
    assert_eq!(db.dump("user_phone_numbers").await, before);
}
