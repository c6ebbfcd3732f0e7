//! Everything that changes whose a number is, at once.

use sqlx::{Connection, PgConnection, PgPool};
use store::pending_verifications::{self, check, issue_code};
use store::user_phone_numbers::{
    hold_verified, link, list, prove, seal_legacy, unlink, unlink_user,
};
use store::{StoreError, users};
use uuid::Uuid;

use crate::pending_verifications::{LIFE, NUMBER, OTHER};
use crate::support::{Db, keyring, number};

#[tokio::test]
async fn when_users_prove_the_same_number_at_once_one_has_it_in_the_end_and_nobody_sees_an_error() {
    let mut db = Db::migrated().await;
    let crowd = db.crowd().await;
    for _ in 0..5 {
        let mut tasks = Vec::new();
        for n in 0..12 {
            let (user, crowd) = (db.user().await, crowd.clone());
            tasks.push(tokio::spawn(async move {
                let mut conn = crowd.acquire().await.unwrap();
                if n % 4 == 0 {
                    match link(&mut conn, &keyring(), user, &number(NUMBER)).await {
                        Ok(()) | Err(StoreError::AlreadyLinked) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                } else {
                    prove(&mut conn, &keyring(), user, &number(NUMBER))
                        .await
                        .unwrap();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let rows = list(&mut db, &keyring(), None).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert!(rows[0].verified);
        unlink(&mut db, &keyring(), &number(NUMBER)).await.unwrap();
    }
}

/// Few users and few numbers, so that everybody is in everybody's way. Postgres ends transactions
/// that wait for each other with an error, which would fail this.
#[tokio::test]
async fn whatever_happens_to_numbers_at_once_nobody_waits_in_a_circle() {
    const TASKS: u32 = 16;
    const ROUNDS: u32 = 25;
    let mut db = Db::migrated().await;
    let everybody = [db.user().await, db.user().await, db.user().await];
    let crowd = db.crowd().await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let crowd = crowd.clone();
            tokio::spawn(async move {
                for round in 0..ROUNDS {
                    let user = everybody[((task + round) % 3) as usize];
                    let text = if rand::random() { NUMBER } else { OTHER };
                    match act(&crowd, rand::random_range(0..8), user, text).await {
                        Ok(()) | Err(StoreError::AlreadyLinked | StoreError::UserGone { .. }) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let rows = list(&mut db, &keyring(), None).await.unwrap();
    for text in [NUMBER, OTHER] {
        let of_number = rows.iter().filter(|row| row.number == Some(number(text)));
        assert!(of_number.count() <= 1, "{rows:?}");
    }
}

async fn act(pool: &PgPool, what: u32, user: Uuid, text: &str) -> Result<(), StoreError> {
    let (keyring, number) = (keyring(), number(text));
    let mut conn = pool.acquire().await?;
    match what {
        0..=2 => {
            let code = issue_code(&mut conn, &keyring, user, &number, LIFE)
                .await?
                .code;
            let mut tx = conn.begin().await?;
            // Another task may have put another code in its place.
            check(&mut tx, &keyring, user, &number, code.as_str()).await?;
            tx.commit().await?;
        }
        3 => link(&mut conn, &keyring, user, &number).await?,
        4 => {
            let mut tx = conn.begin().await?;
            unlink_user(&mut tx, user).await?;
            pending_verifications::remove(&mut tx, user).await?;
            tx.commit().await?;
        }
        5 => {
            unlink(&mut conn, &keyring, &number).await?;
            seal_legacy(&mut conn, &keyring).await?;
        }
        6 => {
            let mut tx = conn.begin().await?;
            hold_verified(&mut tx, &keyring, user, &number).await?;
            item(&mut tx, user).await?;
            tx.commit().await?;
        }
        _ => {
            sqlx::query("delete from users where id = $1")
                .bind(user)
                .execute(&mut *conn)
                .await?;
            users::ensure(&mut conn, user).await?;
        }
    }
    Ok(())
}

/// Something that refers to the user, if there still is one.
async fn item(conn: &mut PgConnection, user: Uuid) -> Result<(), StoreError> {
    sqlx::query(
        "insert into enrichment_items (user_id, item_type, action, value)
         select id, 'tag', 'add', 'x' from users where id = $1 for key share",
    )
    .bind(user)
    .execute(conn)
    .await?;
    Ok(())
}
