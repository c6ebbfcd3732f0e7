use std::time::Duration;

use store::pending_verifications::{
    CodeCheck, IssuedCode, MOST_WRONG_TRIES, check, delete_expired, issue_code, of_user, remove,
};
use store::user_phone_numbers::{find_verified_user, list};
use store::{E164, StoreError};
use uuid::Uuid;

use crate::support::{Db, keyring, number, rotated};

pub(crate) const NUMBER: &str = "+12025550143";
pub(crate) const OTHER: &str = "+12025550144";
pub(crate) const LIFE: Duration = Duration::from_mins(10);

impl Db {
    pub(crate) async fn issue_code(&mut self, user: Uuid, text: &str) -> IssuedCode {
        issue_code(self, &keyring(), user, &number(text), LIFE)
            .await
            .unwrap()
    }

    pub(crate) async fn check(&mut self, user: Uuid, text: &str, code: &str) -> CodeCheck {
        check(self, &keyring(), user, &number(text), code)
            .await
            .unwrap()
    }

    async fn owner(&mut self, number: &E164) -> Option<Uuid> {
        find_verified_user(self, &keyring(), number).await.unwrap()
    }
}

/// A code that is not this one.
pub(crate) fn wrong(issued: &IssuedCode) -> &'static str {
    if issued.code.as_str() == "123456" {
        "654321"
    } else {
        "123456"
    }
}

#[tokio::test]
async fn the_right_code_proves_the_number_once() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let issued = db.issue_code(user, NUMBER).await;
    assert_eq!(issued.life, LIFE);
    let claimed = of_user(&mut db, &keyring(), user).await.unwrap().unwrap();
    assert_eq!(claimed.number, number(NUMBER));
    assert_eq!(claimed.code_expires_at, Some(issued.expires_at));
    // Until it is proved, nothing of it stands among the numbers.
    assert!(list(&mut db, &keyring(), None).await.unwrap().is_empty());

    assert_eq!(
        db.check(user, NUMBER, issued.code.as_str()).await,
        CodeCheck::Proved
    );
    assert_eq!(db.owner(&number(NUMBER)).await, Some(user));
    assert!(of_user(&mut db, &keyring(), user).await.unwrap().is_none());
    assert_eq!(
        db.check(user, NUMBER, issued.code.as_str()).await,
        CodeCheck::NoCode
    );
}

#[tokio::test]
async fn a_claim_is_in_nobodys_way_and_the_newest_proof_wins() {
    let mut db = Db::migrated().await;
    let (first, second, squatter) = (db.user().await, db.user().await, db.user().await);
    db.issue_code(squatter, NUMBER).await;
    let issued = db.issue_code(first, NUMBER).await;
    assert_eq!(
        db.check(first, NUMBER, issued.code.as_str()).await,
        CodeCheck::Proved
    );

    let issued = db.issue_code(second, NUMBER).await;
    assert_eq!(db.owner(&number(NUMBER)).await, Some(first));
    assert_eq!(
        db.check(second, NUMBER, issued.code.as_str()).await,
        CodeCheck::Proved
    );
    let rows = list(&mut db, &keyring(), None).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].user_id == second && rows[0].verified);
    assert_eq!(rows[0].number, Some(number(NUMBER)));
}

#[tokio::test]
async fn a_code_is_for_its_user_and_its_number_only() {
    let mut db = Db::migrated().await;
    let (user, other) = (db.user().await, db.user().await);
    let code = db.issue_code(user, NUMBER).await.code;
    db.issue_code(other, OTHER).await;
    assert_eq!(
        db.check(other, NUMBER, code.as_str()).await,
        CodeCheck::NoCode
    );
    assert_eq!(
        db.check(user, OTHER, code.as_str()).await,
        CodeCheck::NoCode
    );
    assert_eq!(
        db.check(Uuid::new_v4(), NUMBER, code.as_str()).await,
        CodeCheck::NoCode
    );
    // None of these was judged, so none counts.
    assert_eq!(
        db.text("select count(*)::text from pigeonhole.limit_log")
            .await,
        "0"
    );
    assert_eq!(
        db.check(user, NUMBER, code.as_str()).await,
        CodeCheck::Proved
    );
}

#[tokio::test]
async fn a_code_that_is_good_for_another_minute_is_issued_again_and_lives_no_longer_for_it() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let first = db.issue_code(user, NUMBER).await;
    db.run("update pigeonhole.pending_verifications set code_expires_at = clock_timestamp() + interval '90 s'")
        .await;
    let again = issue_code(&mut db, &rotated(), user, &number(NUMBER), LIFE).await;
    let again = again.unwrap();
    assert_eq!(again.code, first.code);
    assert!(again.life <= Duration::from_secs(90) && again.life > Duration::from_mins(1));
    let claimed = of_user(&mut db, &keyring(), user).await.unwrap().unwrap();
    assert_eq!(claimed.code_expires_at, Some(again.expires_at));

    db.run("update pigeonhole.pending_verifications set code_expires_at = clock_timestamp() + interval '59 s'")
        .await;
    let fresh = db.issue_code(user, NUMBER).await;
    assert_ne!(fresh.code, first.code);
    assert_eq!(fresh.life, LIFE);
    assert_eq!(
        db.check(user, NUMBER, first.code.as_str()).await,
        CodeCheck::Wrong
    );
    assert_eq!(
        db.check(user, NUMBER, fresh.code.as_str()).await,
        CodeCheck::Proved
    );
}

#[tokio::test]
async fn a_claim_on_another_number_takes_the_place_of_the_one_before() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let first = db.issue_code(user, NUMBER).await;
    assert_eq!(
        db.check(user, NUMBER, wrong(&first)).await,
        CodeCheck::Wrong
    );
    let second = db.issue_code(user, OTHER).await;
    assert_eq!(
        db.check(user, NUMBER, first.code.as_str()).await,
        CodeCheck::NoCode
    );
    let left = "select wrong_tries::text from pigeonhole.pending_verifications";
    assert_eq!(db.text(left).await, "0");
    assert_eq!(
        db.check(user, OTHER, second.code.as_str()).await,
        CodeCheck::Proved
    );
}

#[tokio::test]
async fn issuing_the_same_code_again_gives_no_more_tries() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let issued = db.issue_code(user, NUMBER).await;
    for _ in 0..MOST_WRONG_TRIES {
        assert_eq!(db.issue_code(user, NUMBER).await.code, issued.code);
        assert_eq!(
            db.check(user, NUMBER, wrong(&issued)).await,
            CodeCheck::Wrong
        );
    }
    assert_eq!(
        db.check(user, NUMBER, issued.code.as_str()).await,
        CodeCheck::NoCode
    );
    let erased = "select (sealed_code is null)::text from pigeonhole.pending_verifications";
    assert_eq!(db.text(erased).await, "true");
    let claimed = of_user(&mut db, &keyring(), user).await.unwrap().unwrap();
    assert_eq!(claimed.code_expires_at, None);

    let fresh = db.issue_code(user, NUMBER).await;
    assert_eq!(
        db.check(user, NUMBER, fresh.code.as_str()).await,
        CodeCheck::Proved
    );
}

#[tokio::test]
async fn an_expired_code_is_never_right() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let issued = db.issue_code(user, NUMBER).await;
    db.run("update pigeonhole.pending_verifications set code_expires_at = clock_timestamp()")
        .await;
    assert_eq!(
        db.check(user, NUMBER, issued.code.as_str()).await,
        CodeCheck::NoCode
    );
    let claimed = of_user(&mut db, &keyring(), user).await.unwrap().unwrap();
    assert_eq!(claimed.code_expires_at, None);
    assert_eq!(db.owner(&number(NUMBER)).await, None);
}

#[tokio::test]
async fn a_user_who_does_not_exist_claims_nothing() {
    let mut db = Db::migrated().await;
    let error = issue_code(&mut db, &keyring(), Uuid::new_v4(), &number(NUMBER), LIFE).await;
    assert!(
        matches!(error, Err(StoreError::UserGone { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_claim_can_be_removed_and_is_gone_with_its_code() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let issued = db.issue_code(user, NUMBER).await;
    assert!(remove(&mut db, user).await.unwrap());
    assert!(!remove(&mut db, user).await.unwrap());
    assert!(of_user(&mut db, &keyring(), user).await.unwrap().is_none());
    assert_eq!(
        db.check(user, NUMBER, issued.code.as_str()).await,
        CodeCheck::NoCode
    );
}

#[tokio::test]
async fn expired_codes_are_erased_and_old_claims_forgotten() {
    let mut db = Db::migrated().await;
    let (expired, good, old) = (db.user().await, db.user().await, db.user().await);
    for user in [expired, good, old] {
        db.issue_code(user, NUMBER).await;
    }
    let change = |what: &str, user: Uuid| {
        format!("update pigeonhole.pending_verifications set {what} where user_id = '{user}'")
    };
    db.run(&change("code_expires_at = clock_timestamp()", expired))
        .await;
    db.run(&change(
        "requested_at = requested_at - interval '25 h'",
        old,
    ))
    .await;
    let day = Duration::from_hours(24);
    assert_eq!(delete_expired(&mut db, day).await.unwrap(), 2);
    assert_eq!(delete_expired(&mut db, day).await.unwrap(), 0);
    let codes = "select string_agg((sealed_code is not null)::text || ' ' || user_id, ' ')
                 from pigeonhole.pending_verifications";
    let codes = db.text(codes).await;
    assert!(codes.contains(&format!("false {expired}")), "{codes}");
    assert!(codes.contains(&format!("true {good}")), "{codes}");
    assert!(!codes.contains(&old.to_string()), "{codes}");
}

#[tokio::test]
async fn no_number_and_no_code_stands_in_clear() {
    let mut db = Db::migrated().await;
    let (user, other) = (db.user().await, db.user().await);
    let issued = db.issue_code(user, NUMBER).await;
    let claimed = db.issue_code(other, NUMBER).await;
    db.check(user, NUMBER, wrong(&issued)).await;
    db.check(user, NUMBER, issued.code.as_str()).await;
    for table in [
        "pigeonhole.pending_verifications",
        "pigeonhole.limit_log",
        "user_phone_numbers",
    ] {
        let rows = db.dump(table).await;
        assert!(!rows.is_empty(), "{table}");
        for secret in ["2025550143", issued.code.as_str(), claimed.code.as_str()] {
            // As text, and as the hexadecimal digits that a column of bytes is shown in.
            let hex = secret
                .bytes()
                .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
            assert!(
                !contains_word(&rows, secret) && !rows.contains(&hex),
                "{table}: {rows}"
            );
        }
    }
    let shown = format!("{issued:?} {:?}", of_user(&mut db, &keyring(), other).await);
    assert!(!contains_word(&shown, issued.code.as_str()), "{shown}");
    assert!(!shown.contains("2025550143"), "{shown}");
}

/// Six digits may turn up by chance within a longer run of hexadecimal ones, or in a fraction of a
/// second.
fn contains_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.')
        .any(|part| part == word)
}
