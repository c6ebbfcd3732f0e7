//! Messages that are opened together, and their reservations.

use std::{num::NonZeroU32, time::Duration};

use chrono::{DateTime, Utc};
use queue::rate_limit::{Admission, RateLimit, RateLimitSnapshot};
use store::inbound_messages::{
    ReservationRequest, load_all, rate_key, reserve_starts, users_by_number,
};
use store::user_phone_numbers::link;

use crate::inbound_messages::{insert, message};
use crate::support::{Db, keyring, number};

const NUMBERS: [&str; 2] = ["+12025550101", "+12025550102"];

async fn now(db: &mut Db) -> DateTime<Utc> {
    store::now(db).await.unwrap()
}

/// Three messages without reservations.
async fn three_messages() -> Db {
    let mut db = Db::migrated().await;
    for sid in ["SM1", "SM2", "SM3"] {
        assert!(insert(&mut db, &keyring(), &message(sid)).await);
    }
    db
}

#[tokio::test]
async fn messages_are_opened_in_the_order_of_the_list_and_one_that_does_not_open_affects_no_other()
{
    let mut db = three_messages().await;
    db.run("update pigeonhole.inbound_messages set sealed = '\\x00' where message_sid = 'SM2'")
        .await;
    let sids = ["SM3", "SM9", "SM2", "SM1"].map(str::to_owned);
    let opened = load_all(&mut db, &keyring(), &sids).await.unwrap();
    let sids: Vec<Option<Option<String>>> = opened
        .messages
        .into_iter()
        .map(|message| message.map(|opened| opened.ok().map(|message| message.message_sid)))
        .collect();
    let some = |sid: &str| Some(Some(sid.to_owned()));
    assert_eq!(sids, [some("SM3"), None, Some(None), some("SM1")]);
}

#[tokio::test]
async fn users_are_found_in_the_order_of_the_list_and_only_if_the_number_was_theirs_at_that_time() {
    let mut db = Db::migrated().await;
    let mut users = Vec::new();
    let before = now(&mut db).await;
    for text in NUMBERS {
        let user = db.user().await;
        link(&mut db, &keyring(), user, &number(text))
            .await
            .unwrap();
        users.push(user);
    }
    let after = now(&mut db).await;
    let sent = [
        (NUMBERS[1], after),
        ("+12025550199", after),
        (NUMBERS[0], after),
        (NUMBERS[1], before),
        (NUMBERS[1], after),
    ]
    .map(|(text, at)| (number(text), at));
    let found = users_by_number(&mut db, &keyring(), &sent).await.unwrap();
    let [first, second] = users[..] else {
        panic!("{users:?}");
    };
    let expected = [Some(second), None, Some(first), None, Some(second)];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_message_is_opened_with_its_user_and_their_limit_if_the_number_was_theirs_then() {
    let mut db = three_messages().await;
    let sids = ["SM1", "SM2"].map(str::to_owned);
    let opened = load_all(&mut db, &keyring(), &sids).await.unwrap();
    assert!(opened.users.is_empty() && opened.limits.is_empty());
    let user = db.user().await;
    link(&mut db, &keyring(), user, &number("+15555550123"))
        .await
        .unwrap();
    let opened = load_all(&mut db, &keyring(), &sids).await.unwrap();
    assert!(opened.users.is_empty(), "they came before the link");
    db.run("update user_phone_numbers set created_at = now() - interval '1 hour'")
        .await;
    let limit = RateLimit {
        burst: NonZeroU32::new(4).unwrap(),
        period: Duration::from_hours(1),
        max_delay: Duration::ZERO,
    };
    let key = rate_key(user);
    // How far ahead the key is, in minutes, and how many events leave half of the burst.
    for (ahead, room) in [(-60, 2), (30, 1), (90, 0), (480, 0)] {
        sqlx::query(
            "insert into queue.rate_limits
             values ($1, (extract(epoch from now())::bigint + $2 * 60) * 1000000000)
             on conflict (key) do update set tat_ns = excluded.tat_ns",
        )
        .bind(&key)
        .bind(ahead)
        .execute(&mut *db)
        .await
        .unwrap();
        let opened = load_all(&mut db, &keyring(), &sids).await.unwrap();
        assert_eq!(opened.users.len(), 2);
        assert!(opened.users.values().all(|found| *found == user));
        let has_room = |events: &u32| opened.limits.has_ample_room(&key, *events, &limit);
        let most = (1..5).rev().find(has_room).unwrap_or(0);
        assert_eq!(most, room, "{ahead} minutes ahead");
    }
    db.run("update user_phone_numbers set verified = false")
        .await;
    let opened = load_all(&mut db, &keyring(), &sids).await.unwrap();
    assert!(opened.users.is_empty());
}

/// The SIDs of the messages with a reservation, in its order.
const RESERVED: &str = "select coalesce(string_agg(message_sid, ' ' order by reserved_for), '')
                        from pigeonhole.inbound_messages
                        where reserved_for is not null and opened_at is not null";
const LIMITS: &str = "select coalesce(string_agg(key || ' ' || tat_ns, ', ' order by key), '')
                      from queue.rate_limits";

/// `pigeonhole.reserve_starts` as `reserve_starts` calls it: messages with their keys, all for now,
/// and keys with their numbers before and after. Returns the keys it refused, with their numbers
/// now.
async fn call(
    db: &mut Db,
    messages: &[(&str, &str)],
    updates: &[(&str, i64, i64)],
) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let column =
        |values: Vec<&str>| -> Vec<String> { values.into_iter().map(str::to_owned).collect() };
    let rows: Vec<(String, i64, bool)> = sqlx::query_as(
        "with begun as materialized (select clock_timestamp() as at)
         select key, tat_ns, now >= at from begun, pigeonhole.reserve_starts(
             $1, array(select now() + n * interval '1 hour' from generate_subscripts($1, 1) as n),
             $2, $3, $4, $5)",
    )
    .bind(column(messages.iter().map(|message| message.0).collect()))
    .bind(column(messages.iter().map(|message| message.1).collect()))
    .bind(column(updates.iter().map(|update| update.0).collect()))
    .bind(updates.iter().map(|update| update.1).collect::<Vec<i64>>())
    .bind(updates.iter().map(|update| update.2).collect::<Vec<i64>>())
    .fetch_all(&mut **db)
    .await?;
    assert!(rows.iter().all(|row| row.2), "the time is that of the call");
    Ok(rows.into_iter().map(|row| (row.0, row.1)).collect())
}

#[tokio::test]
async fn reservations_are_written_with_what_they_cost_and_messages_say_how_far_away_they_are() {
    let mut db = three_messages().await;
    let limit = RateLimit {
        burst: NonZeroU32::MIN,
        period: Duration::from_hours(1),
        max_delay: Duration::from_hours(5),
    };
    let requests =
        [("SM2", "a"), ("SM1", "a"), ("SM3", "b")].map(|(sid, key)| ReservationRequest {
            message_sid: sid.to_owned(),
            rate_key: key.to_owned(),
            sent_at: None,
        });
    let admissions = reserve_starts(&mut db, &limit, &requests, RateLimitSnapshot::default())
        .await
        .unwrap();
    assert!(
        matches!(
            admissions[..],
            [Admission::Now, Admission::At { .. }, Admission::Now]
        ),
        "{admissions:?}"
    );
    assert!(["SM2 SM3 SM1", "SM3 SM2 SM1"].contains(&&*db.text(RESERVED).await));
    let charged = "select string_agg(key || ' ' || round((tat_ns / 1e9
                       - extract(epoch from clock_timestamp())) / 3600), ', ' order by key)
                   from queue.rate_limits";
    assert_eq!(db.text(charged).await, "a 2, b 1");
    let sids = ["SM2", "SM1"].map(str::to_owned);
    let mut waits = Vec::new();
    let opened = load_all(&mut db, &keyring(), &sids).await.unwrap();
    for message in opened.messages {
        let message = message.unwrap().unwrap();
        waits.push(message.starts_in.unwrap().as_secs_f64().round());
    }
    assert_eq!(waits, [0.0, 3600.0]);
}

#[tokio::test]
async fn a_message_whose_key_was_changed_meanwhile_gets_no_reservation_and_the_others_do() {
    let mut db = three_messages().await;
    db.run("insert into queue.rate_limits values ('a', 5), ('b', 6), ('d', 0)")
        .await;
    // `a` has another number now, and `b` is unchanged. `c` was deleted, and then used first by
    // another process.
    for before in [4, 0] {
        let refused = call(
            &mut db,
            &[("SM1", "a"), ("SM2", "b")],
            &[("a", before, 50), ("b", 6, 60)],
        )
        .await
        .unwrap();
        assert_eq!(refused, [("a".to_owned(), 5)]);
        assert_eq!(db.text(RESERVED).await, "SM2");
        assert_eq!(db.text(LIMITS).await, "a 5, b 60, d 0");
        db.run(
            "update pigeonhole.inbound_messages set reserved_for = null;
             update queue.rate_limits set tat_ns = 6 where key = 'b'",
        )
        .await;
    }
    let refused = call(&mut db, &[("SM3", "c")], &[("c", 7, 70)])
        .await
        .unwrap();
    assert_eq!(refused, [("c".to_owned(), 0)], "it was deleted");
    assert_eq!(db.text(RESERVED).await, "");
    let refused = call(&mut db, &[("SM3", "c")], &[("c", 0, 70)])
        .await
        .unwrap();
    assert_eq!(refused, []);
    let refused = call(&mut db, &[("SM1", "d")], &[("d", 0, 80)])
        .await
        .unwrap();
    assert_eq!(refused, [], "a row with 0 is the same as no row");
    assert_eq!(db.text(LIMITS).await, "a 5, b 6, c 70, d 80");
}

#[tokio::test]
async fn a_message_with_a_reservation_or_an_end_is_not_charged_again_and_neither_is_its_batch() {
    let mut db = three_messages().await;
    call(&mut db, &[("SM1", "a")], &[("a", 0, 10)])
        .await
        .unwrap();
    db.run(
        "update pigeonhole.inbound_messages set state = 'rate_limited' where message_sid = 'SM3'",
    )
    .await;
    for again in ["SM1", "SM3", "SM9"] {
        let messages = [("SM2", "b"), (again, "a")];
        let result = call(&mut db, &messages, &[("a", 10, 20), ("b", 0, 10)]).await;
        assert!(result.is_err(), "{again}");
        assert_eq!(db.text(RESERVED).await, "SM1");
        assert_eq!(db.text(LIMITS).await, "a 10");
    }
}
