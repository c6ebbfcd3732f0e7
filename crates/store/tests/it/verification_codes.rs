//! Guesses, and what happens at the same time.

use sqlx::Connection;
use store::pending_verifications::{CodeCheck, check, issue_code};
use store::user_phone_numbers::list;

use crate::pending_verifications::{LIFE, NUMBER, OTHER, wrong};
use crate::support::{Db, keyring, number};

#[tokio::test]
async fn of_200_guesses_at_once_exactly_5_are_judged() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let issued = db.issue_code(user, NUMBER).await;
    let crowd = db.crowd().await;
    let guess = wrong(&issued);
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let crowd = crowd.clone();
            tokio::spawn(async move {
                let mut tx = crowd.begin().await.unwrap();
                let checked = check(&mut tx, &keyring(), user, &number(NUMBER), guess).await;
                tx.commit().await.unwrap();
                checked.unwrap()
            })
        })
        .collect();
    let mut judged = 0;
    for task in tasks {
        match task.await.unwrap() {
            CodeCheck::Wrong => judged += 1,
            other => assert_eq!(other, CodeCheck::NoCode),
        }
    }
    assert_eq!(judged, 5);
    assert_eq!(
        db.text("select count(*)::text from pigeonhole.limit_log")
            .await,
        "5"
    );
    assert_eq!(
        db.check(user, NUMBER, issued.code.as_str()).await,
        CodeCheck::NoCode
    );
}

#[tokio::test]
async fn of_50_right_guesses_at_once_exactly_one_proves() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let issued = db.issue_code(user, NUMBER).await;
    let crowd = db.crowd().await;
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (crowd, code) = (crowd.clone(), issued.code.clone());
            tokio::spawn(async move {
                let mut conn = crowd.acquire().await.unwrap();
                check(&mut conn, &keyring(), user, &number(NUMBER), code.as_str())
                    .await
                    .unwrap()
            })
        })
        .collect();
    let mut proved = 0;
    for task in tasks {
        match task.await.unwrap() {
            CodeCheck::Proved => proved += 1,
            other => assert_eq!(other, CodeCheck::NoCode),
        }
    }
    assert_eq!(proved, 1);
    assert_eq!(list(&mut db, &keyring(), None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_guess_of_another_length_is_wrong_and_counts() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let issued = db.issue_code(user, NUMBER).await;
    let code = issued.code.as_str();
    for guess in [
        "",
        &code[..5],
        &format!("{code}0"),
        &format!(" {code}"),
        "١٢٣",
    ] {
        assert_eq!(
            db.check(user, NUMBER, guess).await,
            CodeCheck::Wrong,
            "{guess:?}"
        );
    }
    assert_eq!(db.check(user, NUMBER, code).await, CodeCheck::NoCode);
}

#[tokio::test]
async fn ten_codes_an_hour_are_judged_whatever_number_they_are_for_and_then_the_right_one_must_wait()
 {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    for text in [NUMBER, OTHER] {
        let issued = db.issue_code(user, text).await;
        for _ in 0..5 {
            assert_eq!(db.check(user, text, wrong(&issued)).await, CodeCheck::Wrong);
        }
    }
    let issued = db.issue_code(user, NUMBER).await;
    let CodeCheck::TooMany(wait) = db.check(user, NUMBER, issued.code.as_str()).await else {
        panic!("it was judged")
    };
    assert!((3500..=3600).contains(&wait.as_secs()), "{wait:?}");
    // It was not judged, so it is still good when there is room again; and another user is not
    // concerned.
    let other = db.user().await;
    let theirs = db.issue_code(other, NUMBER).await;
    assert_eq!(
        db.check(other, NUMBER, wrong(&theirs)).await,
        CodeCheck::Wrong
    );
    db.run("update pigeonhole.limit_log set at = at - interval '1 h'")
        .await;
    assert_eq!(
        db.check(user, NUMBER, issued.code.as_str()).await,
        CodeCheck::Proved
    );
    assert_eq!(
        db.text("select count(*)::text from pigeonhole.limit_log")
            .await,
        "12"
    );
}

#[tokio::test]
async fn claims_of_a_user_at_the_same_time_issue_one_code() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let crowd = db.crowd().await;
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let crowd = crowd.clone();
            tokio::spawn(async move {
                let mut conn = crowd.acquire().await.unwrap();
                issue_code(&mut conn, &keyring(), user, &number(NUMBER), LIFE)
                    .await
                    .unwrap()
            })
        })
        .collect();
    let mut codes = Vec::new();
    for task in tasks {
        codes.push(task.await.unwrap().code);
    }
    assert!(codes.iter().all(|code| *code == codes[0]));
    assert_eq!(
        db.check(user, NUMBER, codes[0].as_str()).await,
        CodeCheck::Proved
    );
}

#[tokio::test]
async fn a_guess_waits_for_a_claim_that_is_being_made_and_is_judged_by_it() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let first = db.issue_code(user, OTHER).await;
    let mut holder = db.pool.acquire().await.unwrap();
    let mut tx = holder.begin().await.unwrap();
    issue_code(&mut tx, &keyring(), user, &number(NUMBER), LIFE)
        .await
        .unwrap();
    let pool = db.pool.clone();
    let guess = tokio::spawn(async move {
        let mut conn = pool.acquire().await.unwrap();
        check(
            &mut conn,
            &keyring(),
            user,
            &number(OTHER),
            first.code.as_str(),
        )
        .await
        .unwrap()
    });
    db.until_somebody_waits().await;
    tx.commit().await.unwrap();
    assert_eq!(guess.await.unwrap(), CodeCheck::NoCode);
}

#[tokio::test]
async fn a_code_that_expires_while_a_guess_waits_is_not_right_any_more() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let issued = db.issue_code(user, NUMBER).await;
    db.run("update pigeonhole.pending_verifications set code_expires_at = clock_timestamp() + interval '1 s'")
        .await;
    let mut holder = db.pool.acquire().await.unwrap();
    let mut tx = holder.begin().await.unwrap();
    sqlx::raw_sql("select from pigeonhole.pending_verifications for update")
        .execute(&mut *tx)
        .await
        .unwrap();
    let pool = db.pool.clone();
    let guess = tokio::spawn(async move {
        let mut conn = pool.acquire().await.unwrap();
        check(
            &mut conn,
            &keyring(),
            user,
            &number(NUMBER),
            issued.code.as_str(),
        )
        .await
        .unwrap()
    });
    db.until_somebody_waits().await;
    let over =
        "select (clock_timestamp() > code_expires_at)::text from pigeonhole.pending_verifications";
    while db.text(over).await == "false" {}
    tx.rollback().await.unwrap();
    assert_eq!(guess.await.unwrap(), CodeCheck::NoCode);
}
