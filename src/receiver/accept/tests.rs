//! The intake against a real database: shared commits, a rejected message, shedding.

use std::{collections::BTreeMap, time::Instant as Clock};

use embedded_postgres::testing::TestDatabase;
use futures_util::future::join_all;
use tokio::time::sleep;

use super::*;

struct IntakeHarness {
    pool: sqlx::PgPool,
    keyring: Keyring,
    intake: Intake,
}

impl IntakeHarness {
    async fn start() -> Self {
        let database = TestDatabase::migrated(store::migrate).await;
        let pool = database.pool().await;
        let intake = Intake::start(&Pool::from(&pool), &Waker::start(&pool), None);
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
    let harness = IntakeHarness::start().await;
    let results = join_all((0..500).map(|number| harness.accept(number))).await;
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Ok(Accepted::New)))
    );
    let messages = harness
        .number("select count(*) from pigeonhole.inbound_messages")
        .await;
    let jobs = harness
        .number("select count(distinct args ->> 'message') from queue.jobs")
        .await;
    assert_eq!((messages, jobs), (500, 500));
    let commits = harness
        .number("select count(distinct xmin::text) from pigeonhole.inbound_messages")
        .await;
    assert!(commits <= 50, "{commits} commits for 500 messages");
}

#[tokio::test]
async fn one_message_several_times_at_once_is_one_message() {
    let harness = IntakeHarness::start().await;
    let results = join_all((0..50).map(|_| harness.accept(7))).await;
    let count = |wanted| {
        results
            .iter()
            .filter(|result| matches!(result, Ok(got) if *got == wanted))
            .count()
    };
    assert_eq!((count(Accepted::New), count(Accepted::Duplicate)), (1, 49));
    assert_eq!(harness.number("select count(*) from queue.jobs").await, 1);
}

#[tokio::test]
async fn a_message_that_the_database_rejects_fails_alone() {
    let harness = IntakeHarness::start().await;
    sqlx::query(
        "alter table pigeonhole.inbound_messages add check (message_sid not like '%00000000000000dead')",
    )
    .execute(&harness.pool)
    .await
    .unwrap();
    let numbers = (0..100).chain([0xdead]);
    let results =
        join_all(numbers.map(async |number| (number, harness.accept(number).await))).await;
    let by_outcome: BTreeMap<bool, Vec<usize>> =
        results
            .into_iter()
            .fold(BTreeMap::new(), |mut map, (number, result)| {
                map.entry(result.is_ok()).or_default().push(number);
                map
            });
    assert_eq!(by_outcome[&false], [0xdead]);
    assert_eq!(by_outcome[&true].len(), 100);
    assert_eq!(harness.number("select count(*) from queue.jobs").await, 100);
}

#[tokio::test]
async fn a_full_intake_sheds_at_once_and_no_webhook_waits_longer_than_the_deadline() {
    let harness = IntakeHarness::start().await;
    let mut blocker = harness.pool.begin().await.unwrap();
    sqlx::query("lock table pigeonhole.inbound_messages in access exclusive mode")
        .execute(&mut *blocker)
        .await
        .unwrap();
    let accepted = join_all((0..CAPACITY + COMMITS_IN_FLIGHT * MAX_BATCH + 500).map(
        async |number| {
            let started = Clock::now();
            let result = harness.accept(number).await;
            (result, started.elapsed())
        },
    ))
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
    let late = harness.accept(1_000_000).await;
    assert!(matches!(late, Ok(Accepted::New)), "{late:?}");
    // The database may have committed a message that got 503. Then it has its job, too.
    let without_a_job = "select count(*) from pigeonhole.inbound_messages where not exists (
        select from queue.jobs where args ->> 'message' = message_sid)";
    assert_eq!(harness.number(without_a_job).await, 0);
}

#[tokio::test]
async fn a_message_is_accepted_after_the_kept_connections_have_died() {
    let harness = IntakeHarness::start().await;
    assert!(matches!(harness.accept(1).await, Ok(Accepted::New)));
    let ended = harness
        .number(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()",
        )
        .await;
    assert!(ended > 0);
    assert!(matches!(harness.accept(2).await, Ok(Accepted::New)));
}

/// Another transaction has written the same message and stays open. One commit waits for it, and
/// the commits after it do not.
#[tokio::test]
async fn a_commit_that_waits_for_a_lock_does_not_delay_later_messages() {
    let harness = IntakeHarness::start().await;
    let mut theirs = harness.pool.begin().await.unwrap();
    sqlx::query(
        "insert into pigeonhole.inbound_messages (message_sid, account_sid, sender_index, sealed)
         values ($1, 'AC0123456789abcdef0123456789abcdef', 'theirs', '')",
    )
    .bind(webhook(0xdead).message_sid().to_string())
    .execute(&mut *theirs)
    .await
    .unwrap();
    let held_up = harness.accept(0xdead);
    let after = async {
        // The first commit must be in flight before the second message arrives.
        while harness
            .number(
                "select count(*) from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'",
            )
            .await
            == 0
        {
            sleep(Duration::from_millis(5)).await;
        }
        harness.accept(1).await
    };
    let (held_up, after) = tokio::join!(held_up, after);
    assert!(matches!(after, Ok(Accepted::New)), "{after:?}");
    assert!(
        matches!(held_up, Err(ReceiverError::DatabaseSlow)),
        "{held_up:?}"
    );
}
