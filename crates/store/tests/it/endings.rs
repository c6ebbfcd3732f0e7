//! Messages that end together: each as a whole or not at all, whatever happens to its neighbours.

use sqlx::{Connection, Executor};
use store::enrichment_items::{ItemType, NewItem, Origin, Source, item_id};
use store::inbound_messages::{
    self, AcceptJob, Acceptance, FinalState, Finish, Finished, Found, MessageState, NewMessage,
    finish_all,
};
use store::user_phone_numbers::{link, unlink};
use uuid::Uuid;

use crate::support::{Db, keyring, number};

const NUMBERS: [&str; 3] = ["+12025550101", "+12025550102", "+12025550103"];

/// Users with a number each, and a message of each, whose jobs are claimed.
struct Rig {
    db: Db,
    users: Vec<Uuid>,
}

fn sid(n: usize) -> String {
    format!("SM{n:032}")
}

impl Rig {
    async fn start() -> Self {
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
    async fn finish(&mut self, n: usize) -> Finish {
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
        Finish {
            message_sid: sid(n),
            job: (self.job(n).await, 7),
            state: FinalState::Processed,
            owner: Some((self.users[n], number(NUMBERS[n]))),
            items: Some(Found {
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
            reason: None,
        }
    }

    /// All of them, the last one first.
    async fn finishes(&mut self) -> [Finish; 3] {
        [
            self.finish(2).await,
            self.finish(1).await,
            self.finish(0).await,
        ]
    }

    async fn end(&mut self, finishes: &[Finish]) -> Vec<Finished> {
        finish_all(&mut self.db, &keyring(), finishes)
            .await
            .unwrap()
    }

    /// What stands in the tables for the n-th message: its state, how many items it is said to have and has, and its
    /// jobs.
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
    let message = NewMessage {
        message_sid: sid(n),
        account_sid: "AC00000000000000000000000000000001".to_owned(),
        sender: sender.to_owned(),
        fields: Vec::new(),
    };
    let job = AcceptJob {
        kind: "process_message",
        max_attempts: 12,
    };
    let acceptance = Acceptance {
        message: message.seal(&keyring()).unwrap(),
        job_args: format!(r#"{{"message":"{}"}}"#, sid(n)),
        trace: None,
    };
    inbound_messages::accept_all(db, job, &[acceptance])
        .await
        .unwrap();
}

const PROCESSED: Finished = Finished::As(MessageState::Processed);
const UNLINKED: Finished = Finished::As(MessageState::IgnoredUnlinked);

const ENDED: &str = "processed 2 2 0";
const UNTOUCHED: &str = "received - 0 1";

#[tokio::test]
async fn messages_end_together_and_are_answered_for_in_the_order_of_the_list() {
    let mut rig = Rig::start().await;
    let mut finishes = rig.finishes().await;
    finishes[1].state = FinalState::Failed;
    finishes[1].items = None;
    finishes[1].reason = Some("media_gone");
    let ended = rig.end(&finishes).await;
    assert_eq!(
        ended,
        [PROCESSED, Finished::As(MessageState::Failed), PROCESSED]
    );
    assert_eq!(rig.row(0).await, ENDED);
    assert_eq!(rig.row(1).await, "failed - 0 0");
    assert_eq!(rig.row(2).await, ENDED);
    let told = "select string_agg(concat_ws(' ', extracted_by, reason, finished_at is not null, claimed_at is not null),
                    ', ' order by message_sid) from pigeonhole.inbound_messages";
    assert_eq!(
        rig.db.text(told).await,
        "rules t t, media_gone t t, rules t t"
    );
    let theirs = "select count(*)::text from pigeonhole.inbound_messages messages
                  join user_phone_numbers numbers on numbers.user_id = messages.user_id
                      and phone_number = sender_index";
    assert_eq!(rig.db.text(theirs).await, "3");
    assert_eq!(rig.end(&[]).await, []);
}

#[tokio::test]
async fn a_claim_that_is_not_the_last_ends_nothing_and_its_neighbours_do() {
    let mut rig = Rig::start().await;
    let mut finishes = rig.finishes().await;
    finishes[0].job.1 = 6;
    finishes[1].job.0 = 123_456;
    let ended = rig.end(&finishes).await;
    assert_eq!(ended, [Finished::LeaseLost, Finished::LeaseLost, PROCESSED]);
    assert_eq!(rig.row(2).await, UNTOUCHED);
    assert_eq!(rig.row(1).await, UNTOUCHED);
    assert_eq!(rig.row(0).await, ENDED);
}

#[tokio::test]
async fn a_number_that_is_not_the_users_any_more_makes_no_items_and_its_neighbours_do() {
    let mut rig = Rig::start().await;
    unlink(&mut rig.db, &keyring(), &number(NUMBERS[1]))
        .await
        .unwrap();
    let (other, third) = (rig.users[0], number(NUMBERS[2]));
    unlink(&mut rig.db, &keyring(), &third).await.unwrap();
    link(&mut rig.db, &keyring(), other, &third).await.unwrap();
    let finishes = rig.finishes().await;
    assert_eq!(rig.end(&finishes).await, [UNLINKED, UNLINKED, PROCESSED]);
    assert_eq!(rig.row(1).await, "ignored_unlinked - 0 0");
    assert_eq!(rig.row(2).await, "ignored_unlinked - 0 0");
    assert_eq!(rig.row(0).await, ENDED);
    let whose = "select count(user_id)::text from pigeonhole.inbound_messages";
    assert_eq!(
        rig.db.text(whose).await,
        "1",
        "nobody's messages name nobody"
    );
}

#[tokio::test]
async fn a_message_that_has_ended_or_is_gone_ends_its_job_alone() {
    let mut rig = Rig::start().await;
    rig.db
        .run(&format!(
            "update pigeonhole.inbound_messages set state = 'rate_limited' where message_sid = '{}';
             delete from pigeonhole.inbound_messages where message_sid = '{}'",
            sid(1),
            sid(2)
        ))
        .await;
    let finishes = rig.finishes().await;
    let ended = rig.end(&finishes).await;
    assert_eq!(ended, [Finished::Before, Finished::Before, PROCESSED]);
    assert_eq!(rig.row(1).await, "rate_limited - 0 0");
    assert_eq!(
        rig.db.text("select count(*)::text from queue.jobs").await,
        "0"
    );
}

#[tokio::test]
async fn a_message_that_has_failed_ends_otherwise_once_its_job_is_requeued() {
    let mut rig = Rig::start().await;
    rig.db
        .run("update pigeonhole.inbound_messages set state = 'failed', finished_at = now()")
        .await;
    let finishes = rig.finishes().await;
    assert_eq!(rig.end(&finishes).await, [PROCESSED; 3]);
    assert_eq!(rig.row(1).await, ENDED);
}

#[tokio::test]
async fn two_jobs_of_one_message_end_it_once() {
    let mut rig = Rig::start().await;
    rig.db
        .run(&format!(
            "insert into queue.jobs (kind, max_attempts, args, claim, ready)
             values ('process_message', 12, '{{\"message\":\"{}\"}}', 7, false)",
            sid(0)
        ))
        .await;
    let second = rig.finish(0).await;
    let mut first = rig.finish(0).await;
    first.job.0 -= 3;
    let ended = rig.end(&[second, first]).await;
    assert!(
        ended.contains(&PROCESSED) && ended.contains(&Finished::Before),
        "{ended:?}"
    );
    assert_eq!(rig.row(0).await, ENDED);
}

#[tokio::test]
async fn a_message_without_items_and_one_without_owner_end_as_they_are_told() {
    let mut rig = Rig::start().await;
    let mut finishes = rig.finishes().await;
    finishes[0].items.as_mut().unwrap().items.clear();
    finishes[1].owner = None;
    finishes[1].items = None;
    finishes[1].state = FinalState::IgnoredUnlinked;
    assert_eq!(rig.end(&finishes).await, [PROCESSED, UNLINKED, PROCESSED]);
    assert_eq!(rig.row(2).await, "processed 0 0 0");
    assert_eq!(rig.row(1).await, "ignored_unlinked - 0 0");
}

/// What somebody does to a user or their number, and has not committed.
#[tokio::test]
async fn whoever_changes_a_user_or_a_number_holds_up_their_messages_and_no_others() {
    for change in [
        "delete from users where id = $1",
        "delete from user_phone_numbers where user_id = $1",
        "update user_phone_numbers set verified = false where user_id = $1",
    ] {
        let mut rig = Rig::start().await;
        let mut other = rig.db.pool.acquire().await.unwrap();
        let mut tx = other.begin().await.unwrap();
        let user = rig.users[1];
        sqlx::query(change)
            .bind(user)
            .execute(&mut *tx)
            .await
            .unwrap();
        let finishes = rig.finishes().await;
        let ended = rig.end(&finishes).await;
        assert_eq!(ended, [PROCESSED, Finished::Busy, PROCESSED], "{change}");
        assert_eq!(rig.row(1).await, UNTOUCHED);

        tx.commit().await.unwrap();
        let again = rig.end(&finishes[1..2]).await;
        assert_eq!(again, [UNLINKED], "{change}");
        assert_eq!(rig.row(1).await, "ignored_unlinked - 0 0");
    }
}

#[tokio::test]
async fn who_only_reads_or_also_writes_for_a_user_holds_up_nobody() {
    let mut rig = Rig::start().await;
    let mut other = rig.db.pool.acquire().await.unwrap();
    let mut tx = other.begin().await.unwrap();
    // As another message's end, and as whatever of the app's refers to the user.
    tx.execute("select from users for key share").await.unwrap();
    tx.execute("select from user_phone_numbers for share")
        .await
        .unwrap();
    let finishes = rig.finishes().await;
    assert_eq!(rig.end(&finishes).await, [PROCESSED; 3]);
}

/// Postgres ends transactions that wait for each other with an error, which would fail this.
#[tokio::test]
async fn lists_with_messages_in_common_never_wait_in_a_circle_and_each_message_ends_once() {
    const ROUNDS: usize = 5;
    let mut rig = Rig::start().await;
    // So that each has some rows and not yet the others when the next begins.
    rig.db
        .run(
            "create function slow() returns trigger language plpgsql as $$
             begin perform pg_sleep(0.01); return old; end $$;
             create trigger slow before delete on queue.jobs for each row execute function slow()",
        )
        .await;
    let crowd = rig.db.crowd().await;
    for _ in 0..ROUNDS {
        let mut lists = Vec::new();
        for task in 0..8 {
            let mut finishes = rig.finishes().await;
            finishes.rotate_left(task % 3);
            lists.push(finishes);
        }
        let mut tasks = Vec::new();
        for finishes in lists {
            let crowd = crowd.clone();
            tasks.push(tokio::spawn(async move {
                let mut conn = crowd.acquire().await.unwrap();
                finish_all(&mut conn, &keyring(), &finishes).await.unwrap()
            }));
        }
        let mut processed = 0;
        for task in tasks {
            let ended = task.await.unwrap();
            processed += ended.iter().filter(|ended| **ended == PROCESSED).count();
        }
        assert_eq!(processed, 3);
        rig.db
            .run(
                "update pigeonhole.inbound_messages set state = 'received';
                 insert into queue.jobs (kind, max_attempts, args, claim, ready)
                 select 'process_message', 12, json_build_object('message', message_sid), 7, false
                 from pigeonhole.inbound_messages",
            )
            .await;
    }
    assert_eq!(
        rig.db
            .text("select count(*)::text from enrichment_items")
            .await,
        "6"
    );
}
