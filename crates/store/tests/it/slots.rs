//! Messages that are opened together, and their places within a limit.

use chrono::{DateTime, TimeDelta, Utc};
use store::inbound_messages::{Slot, Taken, keep_slots, load_all, senders};
use store::user_phone_numbers::link;

use crate::inbound_messages::{insert, message};
use crate::support::{Db, keyring, number};

const NUMBERS: [&str; 2] = ["+12025550101", "+12025550102"];

fn slot(sid: &str, at: DateTime<Utc>, key: &str) -> Slot {
    Slot {
        message_sid: sid.to_owned(),
        at,
        key: key.to_owned(),
    }
}

fn taken(changes: &[(&str, i64, i64)]) -> Taken {
    Taken {
        keys: changes.iter().map(|change| change.0.to_owned()).collect(),
        before: changes.iter().map(|change| change.1).collect(),
        after: changes.iter().map(|change| change.2).collect(),
    }
}

async fn now(db: &mut Db) -> DateTime<Utc> {
    store::now(db).await.unwrap()
}

const SLOTS: &str = "select coalesce(string_agg(message_sid, ' ' order by slot_at), '')
                     from pigeonhole.inbound_messages where slot_at is not null and claimed_at is not null";
const LIMITS: &str = "select coalesce(string_agg(key || ' ' || tat_ns, ', ' order by key), '') from queue.rate_limits";

async fn rig() -> Db {
    let mut db = Db::migrated().await;
    for sid in ["SM1", "SM2", "SM3"] {
        assert!(insert(&mut db, &keyring(), &message(sid)).await);
    }
    db
}

#[tokio::test]
async fn messages_are_opened_in_the_order_of_the_list_and_one_that_does_not_open_spoils_no_other() {
    let mut db = rig().await;
    db.run("update pigeonhole.inbound_messages set sealed = '\\x00' where message_sid = 'SM2'")
        .await;
    let sids = ["SM3", "SM9", "SM2", "SM1"].map(str::to_owned);
    let opened = load_all(&mut db, &keyring(), &sids).await.unwrap();
    let sids: Vec<Option<Option<String>>> = opened
        .into_iter()
        .map(|message| message.map(|opened| opened.ok().map(|message| message.message_sid)))
        .collect();
    let some = |sid: &str| Some(Some(sid.to_owned()));
    assert_eq!(sids, [some("SM3"), None, Some(None), some("SM1")]);
}

#[tokio::test]
async fn senders_are_found_in_the_order_of_the_list_and_only_whose_number_it_was_by_then() {
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
    let found = senders(&mut db, &keyring(), &sent).await.unwrap();
    let [first, second] = users[..] else {
        panic!("{users:?}");
    };
    let expected = [Some(second), None, Some(first), None, Some(second)];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn slots_are_kept_together_with_what_they_take_and_say_how_far_away_they_are() {
    let mut db = rig().await;
    let now = now(&mut db).await;
    let slots = [
        slot("SM2", now + TimeDelta::hours(1), "a"),
        slot("SM1", now, "a"),
        slot("SM3", now + TimeDelta::hours(2), "b"),
    ];
    let wanted = taken(&[("a", 0, 10), ("b", 0, 20)]);
    let changed = keep_slots(&mut db, &slots, &wanted).await.unwrap();
    assert!(changed.is_empty());
    assert_eq!(db.text(SLOTS).await, "SM1 SM2 SM3");
    assert_eq!(db.text(LIMITS).await, "a 10, b 20");
    let sids = ["SM1", "SM2"].map(str::to_owned);
    let mut waits = Vec::new();
    for message in load_all(&mut db, &keyring(), &sids).await.unwrap() {
        waits.push(
            message
                .unwrap()
                .unwrap()
                .slot_in
                .unwrap()
                .as_secs_f64()
                .round(),
        );
    }
    assert_eq!(waits, [0.0, 3600.0]);
}

#[tokio::test]
async fn where_a_limit_was_changed_meanwhile_its_messages_get_no_slot_and_the_others_do() {
    let mut db = rig().await;
    let at = now(&mut db).await;
    db.run("insert into queue.rate_limits values ('a', 5), ('b', 6), ('d', 0)")
        .await;
    // Of `a` there is another number now, `b` was forgotten or is as it was, of `c` somebody was the first user.
    for (was, changed_key, number) in [(4, "a", 5), (0, "a", 5)] {
        let slots = [slot("SM1", at, "a"), slot("SM2", at, "b")];
        let wanted = taken(&[("a", was, 50), ("b", 6, 60)]);
        let changed = keep_slots(&mut db, &slots, &wanted).await.unwrap();
        let [changed] = &changed[..] else {
            panic!("{changed:?}");
        };
        assert_eq!(
            (changed.key.as_str(), changed.number),
            (changed_key, number)
        );
        assert!(changed.now >= at);
        assert_eq!(db.text(SLOTS).await, "SM2");
        assert_eq!(db.text(LIMITS).await, "a 5, b 60, d 0");
        db.run("update pigeonhole.inbound_messages set slot_at = null; update queue.rate_limits set tat_ns = 6 where key = 'b'")
            .await;
    }
    let slots = [slot("SM3", at, "c")];
    let changed = keep_slots(&mut db, &slots, &taken(&[("c", 7, 70)]))
        .await
        .unwrap();
    assert_eq!(
        (changed[0].key.as_str(), changed[0].number),
        ("c", 0),
        "it was forgotten"
    );
    assert_eq!(db.text(SLOTS).await, "");
    let changed = keep_slots(&mut db, &slots, &taken(&[("c", 0, 70)]))
        .await
        .unwrap();
    assert!(changed.is_empty());
    let slots = [slot("SM1", at, "d")];
    let changed = keep_slots(&mut db, &slots, &taken(&[("d", 0, 80)]))
        .await
        .unwrap();
    assert!(changed.is_empty(), "nought is as good as nothing");
    assert_eq!(db.text(LIMITS).await, "a 5, b 6, c 70, d 80");
}

#[tokio::test]
async fn a_message_that_has_its_slot_or_has_ended_is_not_charged_again_nor_is_anybody_with_it() {
    let mut db = rig().await;
    let at = now(&mut db).await;
    keep_slots(&mut db, &[slot("SM1", at, "a")], &taken(&[("a", 0, 10)]))
        .await
        .unwrap();
    db.run(
        "update pigeonhole.inbound_messages set state = 'rate_limited' where message_sid = 'SM3'",
    )
    .await;
    for again in ["SM1", "SM3", "SM9"] {
        let slots = [slot("SM2", at, "b"), slot(again, at, "a")];
        let wanted = taken(&[("a", 10, 20), ("b", 0, 10)]);
        assert!(
            keep_slots(&mut db, &slots, &wanted).await.is_err(),
            "{again}"
        );
        assert_eq!(db.text(SLOTS).await, "SM1");
        assert_eq!(db.text(LIMITS).await, "a 10");
    }
}
