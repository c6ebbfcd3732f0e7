//! A session keeps the plans of its statements. One that was made while the tables were nearly
//! empty must not read all of a full one.

use store::inbound_messages::{EndOutcome, MessageState, load_all};

use crate::endings::{EndingHarness, accept, sid};

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
    let processed = EndOutcome::Ended(MessageState::Processed);
    load(&mut harness, 0).await;
    assert_eq!(harness.end(&ends[2..]).await, [processed]);

    harness.db.run(FILL).await;
    harness.db.run("begin").await;
    accept(&mut harness.db, 3, "+12025550109").await;
    load(&mut harness, 1).await;
    assert_eq!(harness.end(&ends[..2]).await, [processed; 2]);
    assert_eq!(harness.db.text(READ).await, "few");
    harness.db.run("rollback").await;
}

async fn load(harness: &mut EndingHarness, n: usize) {
    let opened = load_all(&mut harness.db, &crate::support::keyring(), &[sid(n)]).await;
    assert_eq!(opened.unwrap().messages.len(), 1);
}
