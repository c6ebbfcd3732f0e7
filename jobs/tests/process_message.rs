//! Jobs through the queue's own test kit: the real claim, the real acknowledgement, no background tasks.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{num::NonZeroU32, path::Path, sync::Arc, time::Duration};

use embedded_postgres::testing::TestDatabase;
use jobs::{
    Deps, MediaDeps, MediaStore, MessageDeps, Policy, Replies,
    extract::{AnyExtractor, Fallback, Rules, WithFallback},
};
use queue::{
    rate_limit::RateLimit,
    testing::{JobOutcome, TestQueue},
};
use sqlx::{PgConnection, PgPool};
use store::{
    E164, Keyring,
    inbound_messages::{self, AcceptJob, Acceptance, MessageState, NewMessage},
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
    let job = AcceptJob {
        kind: "process_message",
        max_attempts: 12,
    };
    let acceptance = Acceptance {
        message: message.seal(keyring).unwrap(),
        job_args: format!(r#"{{"message":"{sid}"}}"#),
        trace: None,
    };
    let new = inbound_messages::accept_all(conn, job, &[acceptance]).await;
    assert_eq!(new.unwrap(), [sid]);
}

/// Two messages at once, and one an hour.
fn policy() -> Policy {
    Policy {
        enrichment: true,
        limit: RateLimit {
            burst: NonZeroU32::new(2).unwrap(),
            period: Duration::from_hours(1),
            max_delay: Duration::from_hours(24),
        },
        replies: Replies::none(),
    }
}

/// The rules, and a Twilio that nobody asks, as no message here has files.
fn message_deps(deps: Deps) -> MessageDeps {
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
    MessageDeps {
        max_bytes: 1,
        media: MediaDeps {
            deps,
            downloader: downloader.unwrap(),
            store: MediaStore::at(&Url::from_file_path(folder).unwrap(), &[]).unwrap(),
            at_once: Arc::new(Semaphore::new(1)),
        },
        extractor: Arc::new(WithFallback::new(
            AnyExtractor::Rules(Rules),
            Fallback::None,
        )),
        keep_media: true,
        delete_at_twilio: false,
    }
}

/// The same, for those who wait long.
fn generous() -> Policy {
    let mut policy = policy();
    policy.limit.max_delay = Duration::from_hours(240);
    policy
}

async fn rig() -> (PgPool, Arc<Keyring>, TestQueue) {
    let database = TestDatabase::create(&store::migrator()).await;
    let pool = database.pool().await;
    let keyring = Arc::new(Keyring::parse(&"0f".repeat(32), "").unwrap());
    let deps = message_deps(Deps::start(pool.clone(), keyring.clone(), generous()));
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
    let (pool, keyring, queue) = rig().await;
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
async fn a_strangers_message_ends_without_items() {
    let (pool, keyring, queue) = rig().await;
    let mut conn = pool.acquire().await.unwrap();
    accept(&mut conn, &keyring).await;
    assert_eq!(queue.drain().await.len(), 1);
    let state = inbound_messages::state_of(&mut conn, SID).await.unwrap();
    assert_eq!(state, Some(MessageState::IgnoredUnlinked));
}

#[tokio::test]
async fn a_message_sealed_under_an_unknown_key_is_tried_again_and_not_lost() {
    let (pool, _, queue) = rig().await;
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
async fn a_message_beyond_the_limit_is_put_off_until_its_own_slot_and_charged_once() {
    let (pool, keyring, queue) = rig().await;
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
    // Whoever looks at a message again before its slot, or processes it in its slot, is not charged.
    sqlx::query("update queue.jobs set run_at = now()")
        .execute(&pool)
        .await
        .unwrap();
    for _ in 0..2 {
        let ran = queue.run_one().await.unwrap();
        assert!(matches!(ran.outcome, JobOutcome::Snoozed { .. }), "{ran:?}");
    }
    sqlx::query("update pigeonhole.inbound_messages set slot_at = slot_at - interval '2 hours'")
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

/// Two processes open messages of one user at the same time, again and again. Each decides on what it has seen, and only
/// one of them can be right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_one_user_that_are_opened_at_the_same_time_share_their_limit_exactly() {
    const MESSAGES: usize = 40;
    let (pool, keyring, queue) = rig().await;
    let mut conn = pool.acquire().await.unwrap();
    link(&mut conn, &keyring).await;
    for n in 0..MESSAGES {
        accept_one(&mut conn, &keyring, &format!("SM{n:032x}")).await;
    }
    drop(conn);
    let queue = Arc::new(queue);
    let others: Vec<_> = (0..4)
        .map(|_| {
            let deps = message_deps(Deps::start(pool.clone(), keyring.clone(), generous()));
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
    let (slots, distinct, span): (i64, i64, f64) = sqlx::query_as(
        "select count(slot_at), count(distinct slot_at),
             extract(epoch from max(slot_at) - min(slot_at))::float8 / 3600
         from pigeonhole.inbound_messages",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    // Two go at once, and at nearly the same time; each of the others an hour after the one before it.
    assert_eq!(slots, 40);
    assert!(distinct >= 39, "{distinct}");
    assert!((span - 38.0).abs() < 0.01, "{span}");
}
