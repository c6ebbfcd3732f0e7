//! Messages that were recovered, and messages that were erased.

use std::{num::NonZeroU32, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use queue::rate_limit::{Admission, RateLimit, RateLimitSnapshot};
use sqlx::PgConnection;
use store::inbound_messages::{
    MessageSource, NewMessage, RecoveredMessage, ReservationRequest, load_all, recover_all,
    reserve_starts,
};
use store::recovery::{
    UnrecoverableReason, advance, oldest_look, record_unrecoverable, request_look, requested_at,
    unknown, watermarks_of,
};

use crate::inbound_messages::{insert, message};
use crate::support::{Db, keyring, rotated};

const ROWS: &str =
    "select coalesce(string_agg(message_sid || ' ' || source, ', ' order by message_sid), '')
                    from pigeonhole.inbound_messages";
const JOBS: &str = "select coalesce(string_agg(args ->> 'message', ' ' order by position, id), '')
                    from queue.jobs where kind = 'process_message'";
const ERASED: &str = "select coalesce(string_agg(message_sid, ' ' order by message_sid), '')
                      from pigeonhole.erased_messages";

async fn now(db: &mut Db) -> DateTime<Utc> {
    store::now(db).await.unwrap()
}

fn recovered(message: &NewMessage, sent_at: DateTime<Utc>) -> RecoveredMessage {
    RecoveredMessage {
        message: message.seal(&keyring()).unwrap(),
        source: MessageSource::List,
        sent_at,
    }
}

/// Recovers messages that were sent at these times, in seconds before now. Returns the new ones.
async fn recover(conn: &mut PgConnection, messages: &[(&str, i64)]) -> Vec<String> {
    let now = store::now(conn).await.unwrap();
    let messages: Vec<RecoveredMessage> = messages
        .iter()
        .map(|(sid, ago)| recovered(&message(sid), now - TimeDelta::seconds(*ago)))
        .collect();
    let mut new = recover_all(conn, &messages).await.unwrap();
    new.sort();
    new
}

#[tokio::test]
async fn recovered_messages_have_their_source_and_jobs_in_the_order_in_which_they_were_sent() {
    let mut db = Db::migrated().await;
    assert!(insert(&mut db, &keyring(), &message("SM2")).await);
    let new = recover(
        &mut db,
        &[("SM1", 60), ("SM2", 300), ("SM4", 90), ("SM3", 30)],
    )
    .await;
    assert_eq!(new, ["SM1", "SM3", "SM4"], "SM2 was there before");
    assert_eq!(
        db.text(ROWS).await,
        "SM1 list, SM2 webhook, SM3 list, SM4 list"
    );
    assert_eq!(db.text(JOBS).await, "SM2 SM4 SM1 SM3");
    let again = recover(&mut db, &[("SM1", 60), ("SM3", 30)]).await;
    assert_eq!(again, Vec::<String>::new());
    assert!(
        !insert(&mut db, &keyring(), &message("SM1")).await,
        "a late webhook"
    );
    assert_eq!(db.text(JOBS).await, "SM2 SM4 SM1 SM3");
    let opened = load_all(&mut db, &keyring(), &["SM1", "SM2"].map(str::to_owned)).await;
    let sent: Vec<bool> = opened
        .unwrap()
        .messages
        .into_iter()
        .map(|opened| opened.unwrap().unwrap().sent_at.is_some())
        .collect();
    assert_eq!(sent, [true, false]);
}

#[tokio::test]
async fn ten_thousand_recovered_messages_stand_behind_a_new_one_of_another_sender() {
    let mut db = Db::migrated().await;
    let at = now(&mut db).await - TimeDelta::hours(1);
    for batch in 0..50 {
        let messages: Vec<RecoveredMessage> = (0..200)
            .map(|n| {
                let mut message = message(&format!("SM{batch}x{n}"));
                message.sender = format!("+1202{batch:03}{n:04}");
                recovered(&message, at)
            })
            .collect();
        assert_eq!(recover_all(&mut db, &messages).await.unwrap().len(), 200);
    }
    let mut new = message("SMnew");
    new.sender = "+15555550199".to_owned();
    assert!(insert(&mut db, &keyring(), &new).await);
    let first = "select args ->> 'message' from queue.jobs order by position, id limit 1";
    assert_eq!(db.text(first).await, "SMnew");
}

/// Stores a message of a user and deletes the user.
async fn erased_with_its_user(db: &mut Db, sid: &str) {
    let user = db.user().await;
    assert!(insert(db, &keyring(), &message(sid)).await);
    db.run(&format!(
        "update pigeonhole.inbound_messages set user_id = '{user}' where message_sid = '{sid}';
         delete from queue.jobs; delete from users where id = '{user}'"
    ))
    .await;
}

#[tokio::test]
async fn a_message_that_was_deleted_with_its_user_or_by_hand_never_comes_back() {
    let mut db = Db::migrated().await;
    erased_with_its_user(&mut db, "SM1").await;
    assert!(insert(&mut db, &keyring(), &message("SM2")).await);
    db.run("delete from pigeonhole.inbound_messages; delete from queue.jobs")
        .await;
    assert_eq!(db.text(ERASED).await, "SM1 SM2");
    // By a late webhook, alone and with others; by recovery, alone and with others.
    assert!(!insert(&mut db, &keyring(), &message("SM1")).await);
    let acceptances = ["SM1", "SM2", "SM3"].map(|sid| store::inbound_messages::Acceptance {
        message: message(sid).seal(&keyring()).unwrap(),
        trace: None,
    });
    let new = store::inbound_messages::accept_all(&mut db, &acceptances).await;
    assert_eq!(new.unwrap(), ["SM3"]);
    assert_eq!(recover(&mut db, &[("SM2", 60)]).await, Vec::<String>::new());
    assert_eq!(recover(&mut db, &[("SM1", 60), ("SM4", 60)]).await, ["SM4"]);
    assert_eq!(db.text(ROWS).await, "SM3 webhook, SM4 list");
    assert_eq!(db.text(JOBS).await, "SM3 SM4");
    assert_eq!(db.text(ERASED).await, "SM1 SM2");
    let person = db.dump("pigeonhole.erased_messages").await;
    let columns: Vec<&str> = person.matches('"').collect();
    assert_eq!(columns.len(), 2 * 2 * (2 + 2), "a SID and a time: {person}");
}

#[tokio::test]
async fn a_message_whose_deletion_commits_while_its_webhook_waits_does_not_come_back() {
    let mut db = Db::migrated().await;
    assert!(insert(&mut db, &keyring(), &message("SM1")).await);
    let crowd = db.crowd().await;
    let mut deleting = crowd.begin().await.unwrap();
    sqlx::query("delete from pigeonhole.inbound_messages")
        .execute(&mut *deleting)
        .await
        .unwrap();
    let late = tokio::spawn({
        let crowd = crowd.clone();
        async move {
            let mut conn = crowd.acquire().await.unwrap();
            insert(&mut conn, &keyring(), &message("SM1")).await
        }
    });
    db.until_somebody_waits().await;
    deleting.commit().await.unwrap();
    assert!(!late.await.unwrap());
    assert_eq!(db.text(ROWS).await, "");
    assert_eq!(
        db.text(JOBS).await,
        "SM1",
        "only the job of the first webhook"
    );
}

#[tokio::test]
async fn messages_that_are_stored_erased_or_unrecoverable_are_not_asked_for() {
    let mut db = Db::migrated().await;
    erased_with_its_user(&mut db, "SM1").await;
    assert!(insert(&mut db, &keyring(), &message("SM2")).await);
    let redacted = UnrecoverableReason::Redacted;
    for is_new in [true, false] {
        let recorded = record_unrecoverable(&mut db, "SM3", redacted).await;
        assert_eq!(recorded.unwrap(), is_new);
    }
    let sids = ["SM1", "SM2", "SM3", "SM4"].map(str::to_owned);
    let unknown = unknown(&mut db, &sids).await.unwrap();
    assert_eq!(unknown.into_iter().collect::<Vec<_>>(), ["SM4"]);
}

#[tokio::test]
async fn a_watermark_starts_when_its_number_is_seen_and_ends_when_the_number_points_elsewhere() {
    let mut db = Db::migrated().await;
    let numbers = ["+15005550006", "+15005550007"].map(str::to_owned);
    let before = now(&mut db).await;
    let first = watermarks_of(&mut db, &keyring(), &numbers[..1])
        .await
        .unwrap();
    let mark = &first[0];
    assert!(mark.since >= before && mark.looked_until == mark.since);
    let later = now(&mut db).await + TimeDelta::minutes(5);
    for until in [later, before] {
        advance(&mut db, &keyring(), &numbers[0], until)
            .await
            .unwrap();
    }
    // A number that was never seen gets no watermark by moving one on.
    advance(&mut db, &keyring(), &numbers[1], later)
        .await
        .unwrap();
    let both = watermarks_of(&mut db, &keyring(), &numbers).await.unwrap();
    assert_eq!(both[0].since, mark.since);
    assert_eq!(
        both[0].looked_until.timestamp_micros(),
        later.timestamp_micros()
    );
    assert!(both[1].since > mark.since && both[1].looked_until == both[1].since);
    // The first number points elsewhere, and then at us again.
    watermarks_of(&mut db, &keyring(), &numbers[1..])
        .await
        .unwrap();
    let again = watermarks_of(&mut db, &keyring(), &numbers).await.unwrap();
    assert!(again[0].since > both[1].since);
    assert_eq!(again[1].since, both[1].since);
    // A rotation of keys moves no watermark.
    let rotated = watermarks_of(&mut db, &rotated(), &numbers).await.unwrap();
    assert_eq!(rotated, again);
    let table = db.dump("pigeonhole.recovery_watermarks").await;
    assert!(!table.contains("5005550006"), "{table}");
}

#[tokio::test]
async fn the_oldest_look_counts_and_without_a_number_there_is_none() {
    let mut db = Db::migrated().await;
    assert_eq!(oldest_look(&mut db).await.unwrap(), None);
    let numbers = ["+15005550006", "+15005550007"].map(str::to_owned);
    watermarks_of(&mut db, &keyring(), &numbers).await.unwrap();
    db.run("update pigeonhole.recovery_watermarks set looked_until = now() - interval '1 hour'")
        .await;
    let at = now(&mut db).await;
    advance(&mut db, &keyring(), &numbers[0], at).await.unwrap();
    let age = oldest_look(&mut db).await.unwrap().unwrap();
    assert!(age >= Duration::from_hours(1), "{age:?}");
}

#[tokio::test]
async fn one_look_waits_at_a_time() {
    let mut db = Db::migrated().await;
    for _ in 0..3 {
        request_look(&mut db).await.unwrap();
    }
    let looks = "select string_agg(kind || ' ' || unique_key, ', ') from queue.jobs";
    assert_eq!(
        db.text(looks).await,
        "recover_messages schedule:recover_messages"
    );
}

#[tokio::test]
async fn a_look_that_waits_for_its_time_is_due_once_it_is_asked_for() {
    let mut db = Db::migrated().await;
    assert_eq!(requested_at(&mut db).await.unwrap(), None);
    request_look(&mut db).await.unwrap();
    db.run("update queue.jobs set ready = false, run_at = now() + interval '30 s'")
        .await;
    request_look(&mut db).await.unwrap();
    assert_eq!(
        db.text("select (run_at <= now())::text from queue.jobs")
            .await,
        "true"
    );
    let at = now(&mut db).await;
    assert!(requested_at(&mut db).await.unwrap().unwrap() <= at);
}

#[tokio::test]
async fn the_rate_limit_counts_a_recovered_message_when_it_was_sent() {
    let mut db = Db::migrated().await;
    // Two an hour were sent four hours ago, three an hour ago, and one comes by its webhook now.
    let sent = [240, 239, 60, 59, 58];
    let sids: Vec<String> = (0..6).map(|n| format!("SM{n}")).collect();
    let recovered: Vec<(&str, i64)> = sids
        .iter()
        .zip(sent)
        .map(|(sid, minutes)| (sid.as_str(), minutes * 60))
        .collect();
    recover(&mut db, &recovered).await;
    assert!(insert(&mut db, &keyring(), &message("SM5")).await);
    let limit = RateLimit {
        burst: NonZeroU32::MIN.saturating_add(1),
        period: Duration::from_mins(30),
        max_delay: Duration::ZERO,
    };
    let at = now(&mut db).await;
    let times = sent.map(|minutes| Some(at - TimeDelta::minutes(minutes)));
    let requests: Vec<ReservationRequest> = sids
        .iter()
        .zip(times.into_iter().chain([None]))
        .map(|(sid, sent_at)| ReservationRequest {
            message_sid: sid.clone(),
            rate_key: "message:a".to_owned(),
            sent_at,
        })
        .collect();
    let admissions = reserve_starts(&mut db, &limit, &requests, RateLimitSnapshot::default())
        .await
        .unwrap();
    let refused: Vec<bool> = admissions
        .iter()
        .map(|admission| matches!(admission, Admission::Refused { .. }))
        .collect();
    // What would have been refused then is refused now: the third of the same hour.
    assert_eq!(refused, [false, false, false, false, true, false]);
    assert!(
        admissions
            .iter()
            .all(|a| !matches!(a, Admission::At { .. }))
    );
    let early = "select count(*)::text from pigeonhole.inbound_messages
                 where reserved_for < now() - interval '50 minutes'";
    assert_eq!(db.text(early).await, "4", "their reservations are of then");
}

#[tokio::test]
async fn a_recovered_message_that_its_limit_delays_starts_no_earlier_than_it_would_have() {
    let mut db = Db::migrated().await;
    recover(&mut db, &[("SM1", 600), ("SM2", 600), ("SM3", 600)]).await;
    let limit = RateLimit {
        burst: NonZeroU32::MIN,
        period: Duration::from_mins(8),
        max_delay: Duration::from_hours(1),
    };
    let sent_at = Some(now(&mut db).await - TimeDelta::minutes(10));
    let requests = ["SM1", "SM2", "SM3"].map(|sid| ReservationRequest {
        message_sid: sid.to_owned(),
        rate_key: "message:a".to_owned(),
        sent_at,
    });
    let admissions = reserve_starts(&mut db, &limit, &requests, RateLimitSnapshot::default())
        .await
        .unwrap();
    // For 10 minutes ago, for 2 minutes ago, and in 6 minutes.
    let [Admission::Now, Admission::Now, Admission::At { wait, .. }] = admissions[..] else {
        panic!("{admissions:?}");
    };
    assert!(
        wait > Duration::from_mins(5) && wait <= Duration::from_mins(6),
        "{wait:?}"
    );
}
