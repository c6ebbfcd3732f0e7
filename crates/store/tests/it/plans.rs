//! A session keeps the plans of its statements. One that was made while the tables were nearly
//! empty must not read all of a full one.

use queue::rate_limit::{Admission, RateLimitSnapshot};
use store::inbound_messages::{
    EndOutcome, MessageEnd, MessageState, ReservationRequest, accept_all, load_all, reserve_starts,
    users_by_number,
};

use crate::endings::{EndingHarness, LIMIT, acceptance, sid};
use crate::support::{keyring, number};

/// Many rows in each table that a message touches.
const FILL: &str = "
    insert into users (id) select gen_random_uuid() from generate_series(1, 20000);
    insert into user_phone_numbers (user_id, phone_number, encrypted_phone_number, verified)
        select id, left(md5(id::text), 20), '', true from users;
    insert into queue.rate_limits (key, tat_ns) select id::text, 0 from users;
    insert into enrichment_items (user_id, item_type, action, value)
        select id, 'tag', 'add', 'full' from users;
    insert into pigeonhole.inbound_messages
        (message_sid, account_sid, sender_index, sealed, user_id)
        select 'SM' || md5(users.id::text), account_sid, sender_index, sealed, users.id
        from users, (select * from pigeonhole.inbound_messages limit 1) as one;
    insert into pigeonhole.erased_messages select 'SM' || md5('erased' || id) from users;
    insert into queue.jobs (kind, max_attempts, args, ready, run_at)
        select 'other', 1, '{}', false, now() + interval '1 hour' from users";

/// The rows that the open transaction has read in each table.
const READ: &str = "
    select coalesce(string_agg(relname || ' ' || rows, ', '), 'few')
    from pg_stat_xact_user_tables,
        lateral (select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) as read(rows)
    where rows > 50";

#[tokio::test]
async fn a_message_reads_a_few_rows_however_many_there_are() {
    let mut harness = EndingHarness::start().await;
    harness.db.run("analyze").await;
    let ends = harness.all_ends().await;
    process(&mut harness, 3, &ends[2..]).await;
    harness.db.run(FILL).await;
    harness.db.run("begin").await;
    process(&mut harness, 6, &ends[..2]).await;
    assert_eq!(harness.db.text(READ).await, "few");
    harness.db.run("rollback").await;
}

/// Everything that the receiver and a worker ask for messages: accepts the n-th alone and two more
/// together, opens them, finds users by number, reserves starts, and ends other messages.
async fn process(harness: &mut EndingHarness, n: usize, ends: &[MessageEnd]) {
    let (db, keyring) = (&mut harness.db, keyring());
    let numbers = ["+12025550107", "+12025550108", "+12025550109"];
    let all: Vec<_> = (n..)
        .zip(numbers)
        .map(|(n, sender)| acceptance(n, sender))
        .collect();
    assert_eq!(accept_all(db, &all[..1]).await.unwrap().len(), 1);
    assert_eq!(accept_all(db, &all[1..]).await.unwrap().len(), 2);
    let sids: Vec<_> = (n..n + 3).map(sid).collect();
    let opened = load_all(db, &keyring, &sids).await.unwrap();
    assert_eq!(opened.messages.len(), 3);
    let now = store::now(db).await.unwrap();
    let sent = numbers.map(|text| (number(text), now));
    assert_eq!(
        users_by_number(db, &keyring, &sent).await.unwrap(),
        [None; 3]
    );
    let requests = sids.into_iter().map(|message_sid| ReservationRequest {
        rate_key: message_sid.clone(),
        message_sid,
        sent_at: None,
    });
    let requests: Vec<_> = requests.collect();
    let keys: Vec<_> = requests
        .iter()
        .map(|request| request.rate_key.clone())
        .collect();
    let snapshot = RateLimitSnapshot::read(db, &keys).await.unwrap();
    let reserved = reserve_starts(db, &LIMIT, &requests, snapshot).await;
    assert_eq!(reserved.unwrap(), [Admission::Now; 3]);
    let ended = harness.end(ends).await;
    let processed = EndOutcome::Ended(MessageState::Processed);
    assert!(
        ended.iter().all(|outcome| *outcome == processed),
        "{ended:?}"
    );
}
