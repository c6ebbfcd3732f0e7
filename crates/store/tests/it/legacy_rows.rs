//! Rows of `user_phone_numbers` that the app wrote, with the number in clear.

use store::user_phone_numbers::{find_verified_user, link, list, seal_legacy, unlink};
use store::{Keyring, StoreError, migrate};

use crate::support::{APP, Db, NEW_KEY, app_user, keyring, number, rotated};

const NUMBER: &str = "+15555550123";
const UNVERIFIED: &str = "+447700900123";

async fn app() -> Db {
    let db = Db::app(&[APP]).await;
    migrate(&db.pool).await.unwrap();
    db
}

#[tokio::test]
async fn a_row_of_the_app_is_found_and_listed_as_it_is() {
    let mut db = app().await;
    assert_eq!(
        find_verified_user(&mut db, &rotated(), &number(NUMBER))
            .await
            .unwrap(),
        Some(app_user(1))
    );
    assert_eq!(
        find_verified_user(&mut db, &rotated(), &number(UNVERIFIED))
            .await
            .unwrap(),
        None
    );
    let mut rows = list(&mut db, &rotated(), None).await.unwrap();
    rows.sort_by_key(|row| row.user_id);
    assert_eq!(rows[0].number, Some(number(NUMBER)));
    assert_eq!(rows[1].number, Some(number(UNVERIFIED)));
    assert_eq!(
        unlink(&mut db, &rotated(), &number(NUMBER)).await.unwrap(),
        1
    );
}

#[tokio::test]
async fn sealing_leaves_no_number_in_clear_and_every_owner_an_owner() {
    let mut db = app().await;
    assert_eq!(seal_legacy(&mut db, &keyring()).await.unwrap(), 2);
    let rows = db.dump("user_phone_numbers").await;
    assert!(
        !rows.contains("5555550123") && !rows.contains("7700900123"),
        "{rows}"
    );
    assert_eq!(
        find_verified_user(&mut db, &keyring(), &number(NUMBER))
            .await
            .unwrap(),
        Some(app_user(1))
    );
    assert_eq!(
        find_verified_user(&mut db, &keyring(), &number(UNVERIFIED))
            .await
            .unwrap(),
        None
    );
    let listed = list(&mut db, &keyring(), Some(app_user(2))).await.unwrap();
    assert_eq!(listed[0].number, Some(number(UNVERIFIED)));
    assert!(!listed[0].verified);

    assert_eq!(seal_legacy(&mut db, &keyring()).await.unwrap(), 0);
    assert_eq!(db.dump("user_phone_numbers").await, rows);
}

#[tokio::test]
async fn sealing_needs_no_key_that_the_app_had() {
    let mut db = app().await;
    let only_new = Keyring::parse(NEW_KEY, "").unwrap();
    assert_eq!(seal_legacy(&mut db, &only_new).await.unwrap(), 2);
    assert_eq!(
        find_verified_user(&mut db, &only_new, &number(NUMBER))
            .await
            .unwrap(),
        Some(app_user(1))
    );
}

#[tokio::test]
async fn sealing_goes_through_more_rows_than_a_batch_and_whatever_they_hold() {
    let mut db = app().await;
    db.run(&format!(
        "insert into user_phone_numbers (user_id, phone_number, encrypted_phone_number)
         select '{0}'::uuid, '+1555556' || lpad(n::text, 4, '0'), 'garbage' from generate_series(1, 450) n
         union all select '{0}'::uuid, text, 'garbage' from (values ('555-0100'), ('12345678901234567890'), ('')) v (text)",
        app_user(1)
    ))
    .await;
    assert_eq!(seal_legacy(&mut db, &keyring()).await.unwrap(), 455);
    let left =
        "select count(*)::text from user_phone_numbers where phone_number !~ '^[A-Za-z0-9_-]{20}$'";
    assert_eq!(db.text(left).await, "0");
    assert_eq!(seal_legacy(&mut db, &keyring()).await.unwrap(), 0);
    let opened = list(&mut db, &keyring(), None).await.unwrap();
    assert_eq!(
        opened.iter().filter(|row| row.number.is_some()).count(),
        452
    );
}

#[tokio::test]
async fn where_the_app_and_we_both_have_a_row_the_owner_stays() {
    let mut db = app().await;
    // Of one number the app's row is verified and ours is a claim; of the other ours is verified
    // and the app's is not.
    for (text, claimant, verified) in [(NUMBER, 2, false), (UNVERIFIED, 1, true)] {
        db.run(&format!(
            "insert into user_phone_numbers (user_id, phone_number, encrypted_phone_number, verified)
             values ('{}', '{}', 'garbage', {verified})",
            app_user(claimant),
            keyring().blind_index(text).as_str(),
        ))
        .await;
    }
    assert_eq!(seal_legacy(&mut db, &keyring()).await.unwrap(), 2);
    let rows = list(&mut db, &keyring(), None).await.unwrap();
    assert_eq!(rows.len(), 2);
    assert!(
        rows.iter()
            .all(|row| row.number.is_some() && row.verified && row.user_id == app_user(1))
    );
}

#[tokio::test]
async fn linking_seals_the_row_of_the_app_and_respects_its_owner() {
    let mut db = app().await;
    let error = link(&mut db, &keyring(), app_user(2), &number(NUMBER))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::AlreadyLinked), "{error:?}");
    link(&mut db, &keyring(), app_user(1), &number(NUMBER))
        .await
        .unwrap();
    assert!(!db.dump("user_phone_numbers").await.contains("5555550123"));
    assert_eq!(
        list(&mut db, &keyring(), Some(app_user(1)))
            .await
            .unwrap()
            .len(),
        1
    );

    // An unverified claim that the app wrote gives way as ours do.
    link(&mut db, &keyring(), app_user(1), &number(UNVERIFIED))
        .await
        .unwrap();
    assert!(
        list(&mut db, &keyring(), Some(app_user(2)))
            .await
            .unwrap()
            .is_empty()
    );
}
