//! Jobs run by the queue's test kit: real claims and acknowledgements, without background tasks.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{num::NonZeroU32, path::Path, sync::Arc, time::Duration};

use embedded_postgres::testing::TestDatabase;
use jobs::{
    DownloadDeps, MediaStore, MessageDeps, MessageOptions, MessagePolicy, Replies,
    extract::{Fallback, Rules, SelectedExtractor, WithFallback},
};
use queue::{
    rate_limit::RateLimit,
    testing::{JobOutcome, TestQueue},
};
use sqlx::{PgConnection, PgPool};
use store::{
    E164, Keyring,
    inbound_messages::{self, Acceptance, MessageState, NewMessage},
    job_args::ProcessMessage,
    user_phone_numbers, users,
};
use tokio::sync::Semaphore;
use twilio::{
    media::{Downloader, DownloaderSettings},
    rest::Credentials,
};
use url::Url;
use uuid::Uuid;

const SID: &str = "SM0123456789abcdef0123456789abcdef";
const SENDER: &str = "+12025550123";

async fn accept(conn: &mut PgConnection, keyring: &Keyring) {
    accept_one(conn, keyring, SID).await;
}

async fn accept_one(conn: &mut PgConnection, keyring: &Keyring, sid: &str) {
    let fields = [
        ("MessageSid", sid),
        ("AccountSid", "AC0123456789abcdef0123456789abcdef"),
        ("From", SENDER),
        ("To", "+15005550006"),
        ("Body", "Met Ana #rustconf"),
    ];
    let message = NewMessage {
        message_sid: sid.to_owned(),
        account_sid: fields[1].1.to_owned(),
        sender: SENDER.to_owned(),
        fields: fields.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
    };
    let acceptance = Acceptance {
        message: message.seal(keyring).unwrap(),
        trace: None,
    };
    let new = inbound_messages::accept_all(conn, &[acceptance]).await;
    assert_eq!(new.unwrap(), [sid]);
}

/// Two messages at once, and one an hour.
fn policy() -> MessagePolicy {
    MessagePolicy {
        enrichment: true,
        limit: RateLimit {
            burst: NonZeroU32::new(2).unwrap(),
            period: Duration::from_hours(1),
            max_delay: Duration::from_hours(24),
        },
        replies: Replies::none(),
    }
}

/// The rules as extractor. No message here has files, so nothing is downloaded.
fn message_deps(pool: PgPool, keyring: Arc<Keyring>, policy: MessagePolicy) -> MessageDeps {
    let account = format!("AC{}", "0".repeat(32));
    let downloader = Downloader::new(DownloaderSettings {
        api_base_url: "http://127.0.0.1:9".parse().unwrap(),
        credentials: Credentials {
            account: account.parse().unwrap(),
            username: account,
            secret: "a-token".into(),
        },
        max_bytes: 1,
        timeout: Duration::from_secs(1),
        more_hosts: Vec::new(),
    });
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("media");
    let download = DownloadDeps {
        pool: pool.into(),
        keyring,
        downloader: downloader.unwrap(),
        media_store: MediaStore::at(&Url::from_file_path(folder).unwrap(), &[]).unwrap(),
        permits: Arc::new(Semaphore::new(1)),
    };
    let rules = SelectedExtractor::Rules(Rules);
    let options = MessageOptions {
        policy,
        extractor: Arc::new(WithFallback::new(rules, Fallback::None)),
        max_media_bytes: 1,
        keep_media: true,
        delete_at_twilio: false,
    };
    MessageDeps::start(download, options)
}

/// The same policy, with long delays allowed.
fn long_delays() -> MessagePolicy {
    let mut policy = policy();
    policy.limit.max_delay = Duration::from_hours(240);
    policy
}

async fn harness() -> (PgPool, Arc<Keyring>, TestQueue) {
    let database = TestDatabase::migrated(store::migrate).await;
    let pool = database.pool().await;
    let keyring = Arc::new(Keyring::parse(&"0f".repeat(32), "").unwrap());
    let deps = message_deps(pool.clone(), keyring.clone(), long_delays());
    let queue = TestQueue::new(pool.clone()).register::<ProcessMessage, _>(deps);
    (pool, keyring, queue)
}

async fn link(conn: &mut PgConnection, keyring: &Keyring) {
    let (user, number) = (Uuid::from_u128(1), E164::parse(SENDER).unwrap());
    users::ensure(conn, user).await.unwrap();
    user_phone_numbers::link(conn, keyring, user, &number)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_linked_senders_message_makes_its_items_and_completes() {
    let (pool, keyring, queue) = harness().await;
    let mut conn = pool.acquire().await.unwrap();
    link(&mut conn, &keyring).await;
    accept(&mut conn, &keyring).await;

    let ran = queue.run_one().await.unwrap();
    assert!(matches!(ran.outcome, JobOutcome::Completed), "{ran:?}");
    let items = store::enrichment_items::of_message(&mut conn, SID)
        .await
        .unwrap();
    assert_eq!(items.len(), 2);
    queue.assert_empty().await;
}

#[tokio::test]
async fn the_message_of_an_unlinked_sender_ends_without_items() {
    let (pool, keyring, queue) = harness().await;
    let mut conn = pool.acquire().await.unwrap();
    accept(&mut conn, &keyring).await;
    assert_eq!(queue.drain().await.len(), 1);
    let message = inbound_messages::load(&mut conn, &keyring, SID).await;
    let state = message.unwrap().map(|message| message.state);
    assert_eq!(state, Some(MessageState::IgnoredUnlinked));
}

#[tokio::test]
async fn a_message_sealed_under_an_unknown_key_is_tried_again_and_not_lost() {
    let (pool, _, queue) = harness().await;
    let mut conn = pool.acquire().await.unwrap();
    let other = Keyring::parse(&"aa".repeat(32), "").unwrap();
    accept(&mut conn, &other).await;
    let ran = queue.run_one().await.unwrap();
    assert!(matches!(ran.outcome, JobOutcome::Retried { .. }), "{ran:?}");
    assert!(queue.run_one().await.is_none(), "it is not due yet");
    queue.advance(Duration::from_secs(2)).await;
    assert_eq!(queue.run_one().await.unwrap().attempt, 2);
}

/// The limit is two at once, and one an hour.
#[tokio::test]
async fn a_message_beyond_the_limit_waits_for_its_own_reservation_and_is_charged_once() {
    let (pool, keyring, queue) = harness().await;
    let mut conn = pool.acquire().await.unwrap();
    link(&mut conn, &keyring).await;
    for n in 0..4 {
        accept_one(&mut conn, &keyring, &format!("SM{n:032x}")).await;
    }
    let mut waits = Vec::new();
    for _ in 0..4 {
        match queue.run_one().await.unwrap().outcome {
            JobOutcome::Completed => waits.push(0),
            JobOutcome::Snoozed { delay } => waits.push((delay.as_secs() + 60) / 3600),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(waits, [0, 0, 1, 2]);
    let charged = async || -> i64 {
        let sql = "select tat_ns from queue.rate_limits";
        sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap()
    };
    let before = charged().await;
    // A message is not charged again when it is opened before its reservation, or processed at its
    // reservation.
    sqlx::query("update queue.jobs set run_at = now()")
        .execute(&pool)
        .await
        .unwrap();
    for _ in 0..2 {
        let ran = queue.run_one().await.unwrap();
        assert!(matches!(ran.outcome, JobOutcome::Snoozed { .. }), "{ran:?}");
    }
    sqlx::query(
        "update pigeonhole.inbound_messages set reserved_for = reserved_for - interval '2 hours'",
    )
    .execute(&pool)
    .await
    .unwrap();
    sqlx::query("update queue.jobs set run_at = now()")
        .execute(&pool)
        .await
        .unwrap();
    for _ in 0..2 {
        let ran = queue.run_one().await.unwrap();
        assert!(matches!(ran.outcome, JobOutcome::Completed), "{ran:?}");
        assert_eq!(ran.attempt, 1, "waiting costs no attempt");
    }
    assert_eq!(charged().await, before);
    queue.assert_empty().await;
}

/// Several processes open messages of one user at the same time. Each decides from its own snapshot
/// of the limit, and only one of those who decide at the same time succeeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_one_user_that_are_opened_at_the_same_time_share_one_limit() {
    const MESSAGES: usize = 40;
    let (pool, keyring, queue) = harness().await;
    let mut conn = pool.acquire().await.unwrap();
    link(&mut conn, &keyring).await;
    for n in 0..MESSAGES {
        accept_one(&mut conn, &keyring, &format!("SM{n:032x}")).await;
    }
    drop(conn);
    let queue = Arc::new(queue);
    let others: Vec<_> = (0..4)
        .map(|_| {
            let deps = message_deps(pool.clone(), keyring.clone(), long_delays());
            Arc::new(TestQueue::new(pool.clone()).register::<ProcessMessage, _>(deps))
        })
        .collect();
    let mut tasks = Vec::new();
    for queue in others.into_iter().chain([queue]) {
        tasks.push(tokio::spawn(async move {
            while queue.run_one().await.is_some() {}
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let (reservations, distinct, span): (i64, i64, f64) = sqlx::query_as(
        "select count(reserved_for), count(distinct reserved_for),
             extract(epoch from max(reserved_for) - min(reserved_for))::float8 / 3600
         from pigeonhole.inbound_messages",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    // Two start at once. Each of the others starts an hour after the one before it.
    assert_eq!(reservations, 40);
    assert!(distinct >= 39, "{distinct}");
    assert!((span - 38.0).abs() < 0.01, "{span}");
}
