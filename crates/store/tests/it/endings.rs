//! Messages that end together: each as a whole or not at all, whatever happens to its neighbours.

use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use queue::Fence;
use queue::rate_limit::{Admission, RateLimit, RateLimitSnapshot};
use sqlx::{Connection, Executor};
use store::StoreError;
use store::enrichment_items::{ItemType, NewItem, Origin, Source, item_id};
use store::inbound_messages::{
    self, Acceptance, EndOutcome, MessageEnd, MessageItems, MessageSender, MessageState,
    NewMessage, finish_all,
};
use store::user_phone_numbers::{link, unlink};
use uuid::Uuid;

use crate::support::{Db, keyring, number};

/// Two at once, and one an hour.
pub(crate) const LIMIT: RateLimit = RateLimit {
    burst: NonZeroU32::new(2).unwrap(),
    period: Duration::from_hours(1),
    max_delay: Duration::ZERO,
};

const NUMBERS: [&str; 3] = ["+12025550101", "+12025550102", "+12025550103"];

/// Users with a number each, and a message of each, whose jobs are claimed.
pub(crate) struct EndingHarness {
    pub(crate) db: Db,
    users: Vec<Uuid>,
}

pub(crate) fn sid(n: usize) -> String {
    format!("SM{n:032}")
}

impl EndingHarness {
    pub(crate) async fn start() -> Self {
        let mut db = Db::migrated().await;
        let mut users = Vec::new();
        for (n, text) in NUMBERS.iter().enumerate() {
            let user = db.user().await;
            link(&mut db, &keyring(), user, &number(text))
                .await
                .unwrap();
            users.push(user);
            accept(&mut db, n, text).await;
        }
        db.run(
            "update queue.jobs set ready = false, claim = 7, run_at = now() + interval '1 hour'",
        )
        .await;
        Self { db, users }
    }

    async fn job(&mut self, n: usize) -> i64 {
        let job = format!(
            "select max(id) from queue.jobs where args ->> 'message' = '{}'",
            sid(n)
        );
        sqlx::query_scalar(sqlx::AssertSqlSafe(job))
            .fetch_one(&mut *self.db)
            .await
            .unwrap()
    }

    /// How the n-th message is to end: processed, with two items.
    async fn end_of(&mut self, n: usize) -> MessageEnd {
        let items = [
            ("field", ItemType::Field, Some("notes")),
            ("tag", ItemType::Tag, None),
        ];
        let items = items
            .iter()
            .zip(0..)
            .map(|((value, item_type, field), at)| NewItem {
                id: item_id(&sid(n), at),
                item_type: *item_type,
                field_name: field.map(str::to_owned),
                value: (*value).to_owned(),
            });
        MessageEnd {
            message_sid: sid(n),
            fence: Fence {
                job: self.job(n).await,
                claim: 7,
            },
            state: MessageState::Processed,
            sender: MessageSender::User(self.users[n], number(NUMBERS[n])),
            items: Some(MessageItems {
                extracted_by: "rules".to_owned(),
                origin: Origin {
                    user_id: self.users[n],
                    message_sid: sid(n),
                    phone_number: NUMBERS[n].to_owned(),
                    original_message: None,
                    source: Source::Sms,
                },
                items: items.collect(),
            }),
            rate_key: None,
            reason: None,
        }
    }

    /// All of them, the last one first.
    pub(crate) async fn all_ends(&mut self) -> [MessageEnd; 3] {
        [
            self.end_of(2).await,
            self.end_of(1).await,
            self.end_of(0).await,
        ]
    }

    pub(crate) async fn end(&mut self, ends: &[MessageEnd]) -> Vec<EndOutcome> {
        self.try_end(ends).await.unwrap()
    }

    async fn try_end(&mut self, ends: &[MessageEnd]) -> Result<Vec<EndOutcome>, StoreError> {
        finish_all(&mut self.db, &keyring(), &LIMIT, ends).await
    }

    /// The state of the n-th message, if it is there.
    async fn state(&mut self, n: usize) -> Option<MessageState> {
        let message = inbound_messages::load(&mut self.db, &keyring(), &sid(n)).await;
        message.unwrap().map(|message| message.state)
    }

    /// What stands in the tables for the n-th message: its state, how many items it is said to have
    /// and has, and its jobs.
    async fn row(&mut self, n: usize) -> String {
        let sid = sid(n);
        let row = format!(
            "select concat_ws(' ', state, coalesce(items::text, '-'),
                 (select count(*) from enrichment_items where source_metadata ->> 'message_sid' = '{sid}'),
                 (select count(*) from queue.jobs where args ->> 'message' = '{sid}'))
             from pigeonhole.inbound_messages where message_sid = '{sid}'"
        );
        self.db.text(&row).await
    }
}

async fn accept(db: &mut Db, n: usize, sender: &str) {
    inbound_messages::accept_all(db, &[acceptance(n, sender)])
        .await
        .unwrap();
}

pub(crate) fn acceptance(n: usize, sender: &str) -> Acceptance {
    let message = NewMessage {
        message_sid: sid(n),
        account_sid: "AC00000000000000000000000000000001".to_owned(),
        sender: sender.to_owned(),
        fields: Vec::new(),
    };
    Acceptance {
        message: message.seal(&keyring()).unwrap(),
        trace: None,
    }
}

const PROCESSED: EndOutcome = EndOutcome::Ended(MessageState::Processed);
const UNLINKED: EndOutcome = EndOutcome::Ended(MessageState::IgnoredUnlinked);

const ENDED: &str = "processed 2 2 0";
const UNTOUCHED: &str = "received - 0 1";

#[tokio::test]
async fn messages_end_together_and_are_answered_for_in_the_order_of_the_list() {
    let mut harness = EndingHarness::start().await;
    let mut ends = harness.all_ends().await;
    ends[1].state = MessageState::Failed;
    ends[1].items = None;
    ends[1].reason = Some("media_gone");
    let ended = harness.end(&ends).await;
    assert_eq!(
        ended,
        [
            PROCESSED,
            EndOutcome::Ended(MessageState::Failed),
            PROCESSED
        ]
    );
    assert_eq!(harness.row(0).await, ENDED);
    assert_eq!(harness.row(1).await, "failed - 0 0");
    assert_eq!(harness.row(2).await, ENDED);
    let told = "select string_agg(concat_ws(' ', extracted_by, reason, finished_at is not null, opened_at is not null),
                    ', ' order by message_sid) from pigeonhole.inbound_messages";
    assert_eq!(
        harness.db.text(told).await,
        "rules t t, media_gone t t, rules t t"
    );
    let theirs = "select count(*)::text from pigeonhole.inbound_messages messages
                  join user_phone_numbers numbers on numbers.user_id = messages.user_id
                      and phone_number = sender_index";
    assert_eq!(harness.db.text(theirs).await, "3");
    assert_eq!(harness.end(&[]).await, []);
}

#[tokio::test]
async fn a_claim_that_is_not_the_last_ends_nothing_and_its_neighbours_do() {
    let mut harness = EndingHarness::start().await;
    let mut ends = harness.all_ends().await;
    ends[0].fence.claim = 6;
    ends[1].fence.job = 123_456;
    let ended = harness.end(&ends).await;
    assert_eq!(
        ended,
        [EndOutcome::LeaseLost, EndOutcome::LeaseLost, PROCESSED]
    );
    assert_eq!(harness.row(2).await, UNTOUCHED);
    assert_eq!(harness.row(1).await, UNTOUCHED);
    assert_eq!(harness.row(0).await, ENDED);
}

#[tokio::test]
async fn a_number_that_is_not_the_users_any_more_makes_no_items_and_its_neighbours_do() {
    let mut harness = EndingHarness::start().await;
    unlink(&mut harness.db, &keyring(), &number(NUMBERS[1]))
        .await
        .unwrap();
    let (other, third) = (harness.users[0], number(NUMBERS[2]));
    unlink(&mut harness.db, &keyring(), &third).await.unwrap();
    link(&mut harness.db, &keyring(), other, &third)
        .await
        .unwrap();
    let ends = harness.all_ends().await;
    assert_eq!(harness.end(&ends).await, [UNLINKED, UNLINKED, PROCESSED]);
    assert_eq!(harness.row(1).await, "ignored_unlinked - 0 0");
    assert_eq!(harness.row(2).await, "ignored_unlinked - 0 0");
    assert_eq!(harness.row(0).await, ENDED);
    let whose = "select count(user_id)::text from pigeonhole.inbound_messages";
    assert_eq!(
        harness.db.text(whose).await,
        "1",
        "nobody's messages name nobody"
    );
}

#[tokio::test]
async fn a_message_that_has_ended_or_is_gone_ends_its_job_alone() {
    let mut harness = EndingHarness::start().await;
    harness
        .db
        .run(&format!(
            "update pigeonhole.inbound_messages set state = 'rate_limited' where message_sid = '{}';
             delete from pigeonhole.inbound_messages where message_sid = '{}'",
            sid(1),
            sid(2)
        ))
        .await;
    let ends = harness.all_ends().await;
    let ended = harness.end(&ends).await;
    assert_eq!(
        ended,
        [EndOutcome::EndedBefore, EndOutcome::EndedBefore, PROCESSED]
    );
    assert_eq!(harness.row(1).await, "rate_limited - 0 0");
    assert_eq!(
        harness
            .db
            .text("select count(*)::text from queue.jobs")
            .await,
        "0"
    );
}

#[tokio::test]
async fn a_message_that_has_failed_ends_otherwise_once_its_job_is_requeued() {
    let mut harness = EndingHarness::start().await;
    harness
        .db
        .run("update pigeonhole.inbound_messages set state = 'failed', finished_at = now()")
        .await;
    let ends = harness.all_ends().await;
    assert_eq!(harness.end(&ends).await, [PROCESSED; 3]);
    assert_eq!(harness.row(1).await, ENDED);
}

#[tokio::test]
async fn two_jobs_of_one_message_end_it_once() {
    let mut harness = EndingHarness::start().await;
    harness
        .db
        .run(&format!(
            "insert into queue.jobs (kind, max_attempts, args, claim, ready)
             values ('process_message', 12, '{{\"message\":\"{}\"}}', 7, false)",
            sid(0)
        ))
        .await;
    let second = harness.end_of(0).await;
    let mut first = harness.end_of(0).await;
    first.fence.job -= 3;
    let ended = harness.end(&[second, first]).await;
    assert!(
        ended.contains(&PROCESSED) && ended.contains(&EndOutcome::EndedBefore),
        "{ended:?}"
    );
    assert_eq!(harness.row(0).await, ENDED);
}

#[tokio::test]
async fn a_message_without_items_and_one_without_owner_end_as_they_are_told() {
    let mut harness = EndingHarness::start().await;
    let mut ends = harness.all_ends().await;
    ends[0].items.as_mut().unwrap().items.clear();
    ends[1].sender = MessageSender::NoNumber;
    ends[1].items = None;
    ends[1].state = MessageState::IgnoredUnlinked;
    assert_eq!(harness.end(&ends).await, [PROCESSED, UNLINKED, PROCESSED]);
    assert_eq!(harness.row(2).await, "processed 0 0 0");
    assert_eq!(harness.row(1).await, "ignored_unlinked - 0 0");
}

/// What somebody does to a user or their number, and has not committed.
#[tokio::test]
async fn whoever_changes_a_user_or_a_number_holds_up_their_messages_and_no_others() {
    for change in [
        "delete from users where id = $1",
        "delete from user_phone_numbers where user_id = $1",
        "update user_phone_numbers set verified = false where user_id = $1",
    ] {
        let mut harness = EndingHarness::start().await;
        let mut other = harness.db.pool.acquire().await.unwrap();
        let mut tx = other.begin().await.unwrap();
        let user = harness.users[1];
        sqlx::query(change)
            .bind(user)
            .execute(&mut *tx)
            .await
            .unwrap();
        let ends = harness.all_ends().await;
        let ended = harness.end(&ends).await;
        assert_eq!(ended, [PROCESSED, EndOutcome::Busy, PROCESSED], "{change}");
        assert_eq!(harness.row(1).await, UNTOUCHED);

        tx.commit().await.unwrap();
        let again = harness.end(&ends[1..2]).await;
        assert_eq!(again, [UNLINKED], "{change}");
        assert_eq!(harness.row(1).await, "ignored_unlinked - 0 0");
    }
}

#[tokio::test]
async fn who_only_reads_or_also_writes_for_a_user_holds_up_nobody() {
    let mut harness = EndingHarness::start().await;
    let mut other = harness.db.pool.acquire().await.unwrap();
    let mut tx = other.begin().await.unwrap();
    // As another message's end, and as whatever of the app's refers to the user.
    tx.execute("select from users for key share").await.unwrap();
    tx.execute("select from user_phone_numbers for share")
        .await
        .unwrap();
    let ends = harness.all_ends().await;
    assert_eq!(harness.end(&ends).await, [PROCESSED; 3]);
}

/// Postgres ends transactions that wait for each other with an error, which would fail this.
#[tokio::test]
async fn lists_with_messages_in_common_never_wait_in_a_circle_and_each_message_ends_once() {
    const ROUNDS: usize = 5;
    let mut harness = EndingHarness::start().await;
    // So that each has some rows and not yet the others when the next begins.
    harness
        .db
        .run(
            "create function slow() returns trigger language plpgsql as $$
             begin perform pg_sleep(0.01); return old; end $$;
             create trigger slow before delete on queue.jobs for each row execute function slow()",
        )
        .await;
    let crowd = harness.db.crowd().await;
    for _ in 0..ROUNDS {
        let mut lists = Vec::new();
        for task in 0..8 {
            let mut ends = harness.all_ends().await;
            ends.rotate_left(task % 3);
            lists.push(ends);
        }
        let mut tasks = Vec::new();
        for ends in lists {
            let crowd = crowd.clone();
            tasks.push(tokio::spawn(async move {
                let mut conn = crowd.acquire().await.unwrap();
                finish_all(&mut conn, &keyring(), &LIMIT, &ends)
                    .await
                    .unwrap()
            }));
        }
        let mut processed = 0;
        for task in tasks {
            let ended = task.await.unwrap();
            processed += ended.iter().filter(|ended| **ended == PROCESSED).count();
        }
        assert_eq!(processed, 3);
        harness
            .db
            .run(
                "update pigeonhole.inbound_messages set state = 'received';
                 insert into queue.jobs (kind, max_attempts, args, claim, ready)
                 select 'process_message', 12, json_build_object('message', message_sid), 7, false
                 from pigeonhole.inbound_messages",
            )
            .await;
    }
    assert_eq!(
        harness
            .db
            .text("select count(*)::text from enrichment_items")
            .await,
        "6"
    );
}

#[tokio::test]
async fn a_message_ends_once() {
    let mut harness = EndingHarness::start().await;
    for (n, state) in [
        (0, MessageState::Processed),
        (1, MessageState::IgnoredUnlinked),
    ] {
        let mut end = harness.end_of(n).await;
        end.state = state;
        if state == MessageState::IgnoredUnlinked {
            (end.sender, end.items) = (MessageSender::NoNumber, None);
        }
        let outcome = harness.end(std::slice::from_ref(&end)).await;
        assert_eq!(outcome, [EndOutcome::Ended(state)]);
        assert_eq!(harness.state(n).await, Some(state));
        // Its job is gone.
        let again = harness.end(std::slice::from_ref(&end)).await;
        assert_eq!(again, [EndOutcome::LeaseLost]);
        // A second job of the message ends alone.
        accept_again(&mut harness.db, n).await;
        end.fence.job = harness.job(n).await;
        end.state = MessageState::Failed;
        let again = harness.end(std::slice::from_ref(&end)).await;
        assert_eq!(again, [EndOutcome::EndedBefore]);
        assert_eq!(harness.state(n).await, Some(state));
    }
    let finished =
        "select count(*)::text from pigeonhole.inbound_messages where finished_at is not null";
    assert_eq!(harness.db.text(finished).await, "2");
}

/// A job for a message that has one already, or had one.
async fn accept_again(db: &mut Db, n: usize) {
    db.run(&format!(
        "insert into queue.jobs (kind, max_attempts, args, claim, ready)
         values ('process_message', 12, '{{\"message\":\"{}\"}}', 7, false)",
        sid(n)
    ))
    .await;
}

#[tokio::test]
async fn deleting_a_user_deletes_their_messages_and_a_message_that_ends_later_makes_no_items() {
    let mut harness = EndingHarness::start().await;
    let (first, late) = (harness.end_of(0).await, harness.end_of(1).await);
    assert_eq!(harness.end(&[first]).await, [PROCESSED]);
    harness.db.run("delete from users").await;
    assert_eq!(harness.state(0).await, None);
    assert_eq!(harness.end(&[late]).await, [UNLINKED]);
    assert_eq!(harness.row(1).await, "ignored_unlinked - 0 0");
}

const CHARGES: &str = "select coalesce(string_agg(key || ' ' || round((tat_ns / 1e9
        - extract(epoch from clock_timestamp())) / 3600), ', ' order by key), '')
    from queue.rate_limits";

#[tokio::test]
async fn a_message_that_names_a_rate_limit_key_is_charged_once_with_its_end() {
    let mut harness = EndingHarness::start().await;
    let mut ends = harness.all_ends().await;
    for (end, key) in ends.iter_mut().zip(["b", "a", "a"]) {
        end.rate_key = Some(key.to_owned());
    }
    // The third one has another claim of its job.
    ends[2].fence.claim = 6;
    let outcomes = harness.end(&ends).await;
    assert_eq!(outcomes, [PROCESSED, PROCESSED, EndOutcome::LeaseLost]);
    assert_eq!(harness.db.text(CHARGES).await, "a 1, b 1");
    ends[2].fence.claim = 7;
    let outcomes = harness.end(&ends).await;
    let lost = EndOutcome::LeaseLost;
    assert_eq!(outcomes, [lost, lost, PROCESSED], "the others had ended");
    assert_eq!(harness.db.text(CHARGES).await, "a 2, b 1");
    let reserved = "select count(*)::text from pigeonhole.inbound_messages
                    where reserved_for = finished_at";
    assert_eq!(harness.db.text(reserved).await, "3");
}

#[tokio::test]
async fn a_message_that_does_not_end_as_processed_is_not_charged() {
    let mut harness = EndingHarness::start().await;
    let mut end = harness.end_of(0).await;
    end.rate_key = Some("a".to_owned());
    unlink(&mut harness.db, &keyring(), &number(NUMBERS[0]))
        .await
        .unwrap();
    let outcome = harness.end(std::slice::from_ref(&end)).await;
    let unlinked = EndOutcome::Ended(MessageState::IgnoredUnlinked);
    assert_eq!(outcome, [unlinked]);
    assert_eq!(harness.db.text(CHARGES).await, "");
}

#[tokio::test]
async fn if_a_rate_limit_is_used_up_nothing_of_the_batch_is_written() {
    let mut harness = EndingHarness::start().await;
    let mut ends = harness.all_ends().await;
    for end in &mut ends {
        end.rate_key = Some("a".to_owned());
    }
    let error = harness.try_end(&ends).await.unwrap_err();
    assert!(matches!(error, StoreError::RateLimitUsedUp), "{error:?}");
    assert_eq!(harness.row(1).await, "received - 0 1");
    assert_eq!(harness.db.text(CHARGES).await, "");
    // Alone, two of them end, as the burst allows.
    let mut ended = 0;
    for end in &ends {
        match harness.try_end(std::slice::from_ref(end)).await {
            Ok(outcome) => {
                assert_eq!(outcome, [PROCESSED]);
                ended += 1;
            }
            Err(error) => assert!(matches!(error, StoreError::RateLimitUsedUp), "{error:?}"),
        }
    }
    assert_eq!(ended, 2);
    assert_eq!(harness.row(0).await, "received - 0 1");
    assert_eq!(harness.db.text(CHARGES).await, "a 2");
}

/// `queue.within_rate_limit` beside governor, over numbers of a key around the limit.
#[tokio::test]
async fn an_end_is_charged_exactly_if_governor_admits_it() {
    let mut harness = EndingHarness::start().await;
    let mut end = harness.end_of(0).await;
    end.rate_key = Some("a".to_owned());
    for before in [-3600, -1, 0, 1, 1800, 3595, 3605, 7200] {
        harness
            .db
            .run(
                "truncate queue.rate_limits; delete from enrichment_items;
                 delete from queue.jobs;
                 update pigeonhole.inbound_messages set state = 'received';
                 insert into queue.jobs (kind, max_attempts, args, claim, ready)
                 select 'process_message', 12, json_build_object('message', message_sid), 7, false
                 from pigeonhole.inbound_messages",
            )
            .await;
        end.fence.job = harness.job(0).await;
        let now = store::now(&mut harness.db).await.unwrap();
        let arrival = now + TimeDelta::seconds(before);
        let arrival = arrival.timestamp_micros() * 1000;
        sqlx::query("insert into queue.rate_limits values ('a', $1)")
            .bind(arrival)
            .execute(&mut *harness.db)
            .await
            .unwrap();
        let mut snapshot = RateLimitSnapshot::default();
        snapshot.record("a".to_owned(), arrival, now.with_timezone(&Utc));
        let admission = snapshot.reserve("a", None, &LIMIT).unwrap().0;
        let ended = harness.try_end(std::slice::from_ref(&end)).await;
        assert_eq!(
            admission == Admission::Now,
            ended.is_ok(),
            "{before} s: {admission:?}, {ended:?}"
        );
        let after: i64 = sqlx::query_scalar("select tat_ns from queue.rate_limits")
            .fetch_one(&mut *harness.db)
            .await
            .unwrap();
        let expected = snapshot.updates().after.first().copied().unwrap_or(arrival);
        assert!((after - expected).abs() < 4_000_000_000, "{before} s");
    }
}
