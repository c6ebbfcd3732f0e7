use std::time::Duration;

use store::sends::{self, NewVerification};
use store::{
    StoreError, idempotency_keys, inbound_messages, migrate, pending_verifications,
    user_phone_numbers, users,
};
use uuid::Uuid;

use crate::support::{APP, Db, app_user, keyring, number};

#[tokio::test]
async fn ensuring_a_user_makes_them_once() {
    let mut db = Db::migrated().await;
    let id = Uuid::new_v4();
    users::ensure(&mut db, id).await.unwrap();
    users::ensure(&mut db, id).await.unwrap();
    assert_eq!(db.text("select count(*)::text from users").await, "1");
}

#[tokio::test]
async fn ensuring_a_user_of_the_app_leaves_them_as_they_are_although_we_cannot_make_one() {
    let mut db = Db::app(&[APP]).await;
    migrate(&db.pool).await.unwrap();
    let before = db.dump("users").await;
    users::ensure(&mut db, app_user(1)).await.unwrap();
    assert_eq!(db.dump("users").await, before);

    let error = users::ensure(&mut db, Uuid::new_v4()).await.unwrap_err();
    let StoreError::Database(error) = error else {
        panic!("{error:?}")
    };
    assert!(error.to_string().contains("\"email\""), "{error}");
}

#[tokio::test]
async fn a_connection_that_the_server_ended_is_told_from_a_refusal() {
    let mut db = Db::migrated().await;
    let ours = db.text("select pg_backend_pid()::text").await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "select pg_terminate_backend({ours})"
    )))
    .execute(&db.pool)
    .await
    .unwrap();
    let error = users::ensure(&mut db, Uuid::new_v4()).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
}

#[tokio::test]
async fn the_functions_of_this_crate_can_be_spawned() {
    let mut db = Db::migrated().await;
    let spawned = tokio::spawn(async move {
        let (user, number) = (db.user().await, number("+15555550123"));
        let keyring = keyring();
        user_phone_numbers::link(&mut db, &keyring, user, &number)
            .await
            .unwrap();
        user_phone_numbers::seal_legacy(&mut db, &keyring)
            .await
            .unwrap();
        user_phone_numbers::find_verified_user(&mut db, &keyring, &number)
            .await
            .unwrap();
        inbound_messages::load(&mut db, &keyring, "SM1")
            .await
            .unwrap();
        migrate(&db.pool).await.unwrap();
    });
    spawned.await.unwrap();
}

#[tokio::test]
async fn deleting_a_user_leaves_no_row_of_theirs() {
    let mut db = Db::migrated().await;
    let (user, keyring) = (db.user().await, keyring());
    let to = number("+12025550143");
    user_phone_numbers::link(&mut db, &keyring, user, &number("+12025550144"))
        .await
        .unwrap();
    pending_verifications::issue_code(&mut db, &keyring, user, &to, Duration::from_mins(10))
        .await
        .unwrap();
    let send = NewVerification {
        user_id: user,
        to,
        body: String::from("Your code is 123456"),
        life: Duration::from_mins(10),
        trace: None,
    };
    sends::enqueue_verification(&mut db, &keyring, &send)
        .await
        .unwrap();
    idempotency_keys::reserve(&mut db, &keyring, user, "key", b"request")
        .await
        .unwrap();
    let tables = [
        "users",
        "user_phone_numbers",
        "pigeonhole.pending_verifications",
        "pigeonhole.sends",
        "pigeonhole.idempotency_keys",
    ];
    for table in tables {
        assert!(db.dump(table).await.contains(&user.to_string()), "{table}");
    }
    db.run(&format!("delete from users where id = '{user}'"))
        .await;
    for table in tables {
        assert_eq!(db.dump(table).await, "", "{table}");
    }
}
