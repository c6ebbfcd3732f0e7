//! The intake against a real database: sharing commits, failing alone, shedding.

use std::{collections::BTreeMap, time::Instant as Clock};

use embedded_postgres::testing::TestDatabase;
use futures_util::future::join_all;

use super::*;

struct Rig {
    pool: PgPool,
    keyring: Keyring,
    intake: Intake,
}

impl Rig {
    async fn start() -> Self {
        let database = TestDatabase::create(&store::migrator()).await;
        let pool = database.pool().await;
        let intake = Intake::start(&pool, &Waker::start(&pool));
        let keyring = Keyring::parse(&"0f".repeat(32), "").unwrap();
        Self {
            pool,
            keyring,
            intake,
        }
    }

    async fn accept(&self, number: usize) -> Result<Accepted, ReceiverError> {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned();
        self.intake
            .accept(&self.keyring, &webhook(number), trace)
            .await
    }

    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }
}

fn webhook(number: usize) -> InboundWebhook {
    let sid = format!("SM{number:032x}");
    let fields = [
        ("MessageSid", sid.as_str()),
        ("AccountSid", "AC0123456789abcdef0123456789abcdef"),
        ("From", "+12025550123"),
        ("To", "+15005550006"),
        ("Body", "hello"),
    ];
    let owned = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    InboundWebhook::from_fields(owned.into()).unwrap()
}

#[tokio::test]
async fn messages_that_arrive_together_share_commits_and_each_has_its_job() {
    let rig = Rig::start().await;
    let results = join_all((0..500).map(|number| rig.accept(number))).await;
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Ok(Accepted::New)))
    );
    let messages = rig
        .number("select count(*) from pigeonhole.inbound_messages")
        .await;
    let jobs = rig
        .number("select count(distinct args ->> 'message') from queue.jobs")
        .await;
    assert_eq!((messages, jobs), (500, 500));
    let commits = rig
        .number("select count(distinct xmin::text) from pigeonhole.inbound_messages")
        .await;
    assert!(commits <= 50, "{commits} commits for 500 messages");
}

#[tokio::test]
async fn one_message_several_times_at_once_is_one_message() {
    let rig = Rig::start().await;
    let results = join_all((0..50).map(|_| rig.accept(7))).await;
    let count = |wanted| {
        results
            .iter()
            .filter(|result| matches!(result, Ok(got) if *got == wanted))
            .count()
    };
    assert_eq!((count(Accepted::New), count(Accepted::Duplicate)), (1, 49));
    assert_eq!(rig.number("select count(*) from queue.jobs").await, 1);
}

#[tokio::test]
async fn a_message_that_the_database_refuses_fails_alone() {
    let rig = Rig::start().await;
    sqlx::query(
        "alter table pigeonhole.inbound_messages add check (message_sid not like '%00000000000000dead')",
    )
    .execute(&rig.pool)
    .await
    .unwrap();
    let numbers = (0..100).chain([0xdead]);
    let results = join_all(numbers.map(async |number| (number, rig.accept(number).await))).await;
    let by_outcome: BTreeMap<bool, Vec<usize>> =
        results
            .into_iter()
            .fold(BTreeMap::new(), |mut map, (number, result)| {
                map.entry(result.is_ok()).or_default().push(number);
                map
            });
    assert_eq!(by_outcome[&false], [0xdead]);
    assert_eq!(by_outcome[&true].len(), 100);
    assert_eq!(rig.number("select count(*) from queue.jobs").await, 100);
}

#[tokio::test]
async fn beyond_its_bounds_the_intake_sheds_at_once_and_nobody_waits_for_longer_than_the_deadline()
{
    let rig = Rig::start().await;
    let mut blocker = rig.pool.begin().await.unwrap();
    sqlx::query("lock table pigeonhole.inbound_messages in access exclusive mode")
        .execute(&mut *blocker)
        .await
        .unwrap();
    let accepted = join_all((0..QUEUE + WRITERS * BATCH + 500).map(async |number| {
        let started = Clock::now();
        let result = rig.accept(number).await;
        (result, started.elapsed())
    }))
    .await;
    let shed: Vec<_> = accepted
        .iter()
        .filter(|(result, _)| matches!(result, Err(ReceiverError::Shed)))
        .map(|(_, after)| *after)
        .collect();
    assert!(shed.len() >= 500, "{} were shed", shed.len());
    let others = accepted
        .iter()
        .filter(|(result, _)| matches!(result, Err(ReceiverError::DatabaseSlow)));
    assert_eq!(others.count() + shed.len(), accepted.len());
    let slowest = shed.iter().max().unwrap();
    assert!(*slowest < DEADLINE / 2, "{slowest:?}");

    blocker.rollback().await.unwrap();
    let late = rig.accept(1_000_000).await;
    assert!(matches!(late, Ok(Accepted::New)), "{late:?}");
    // What was given up here may still have been committed there: then with its job.
    let without_a_job = "select count(*) from pigeonhole.inbound_messages where not exists (
        select from queue.jobs where args ->> 'message' = message_sid)";
    assert_eq!(rig.number(without_a_job).await, 0);
}

/// Somebody writes the same message elsewhere and does not come to an end. One commit waits for that; one.
#[tokio::test]
async fn a_commit_that_is_held_up_holds_up_nobody_who_comes_after() {
    let rig = Rig::start().await;
    let mut theirs = rig.pool.begin().await.unwrap();
    sqlx::query(
        "insert into pigeonhole.inbound_messages (message_sid, account_sid, sender_index, sealed)
         values ($1, 'AC0123456789abcdef0123456789abcdef', 'theirs', '')",
    )
    .bind(webhook(0xdead).message_sid().to_string())
    .execute(&mut *theirs)
    .await
    .unwrap();
    let held_up = rig.accept(0xdead);
    let after = async {
        // By then the first is under way.
        while rig
            .number(
                "select count(*) from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'",
            )
            .await
            == 0
        {
            sleep(Duration::from_millis(5)).await;
        }
        rig.accept(1).await
    };
    let (held_up, after) = tokio::join!(held_up, after);
    assert!(matches!(after, Ok(Accepted::New)), "{after:?}");
    assert!(
        matches!(held_up, Err(ReceiverError::DatabaseSlow)),
        "{held_up:?}"
    );
}
