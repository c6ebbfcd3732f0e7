//! Each user's rate limit, enforced by several workers while workers are killed: no window exceeds
//! the limit, no message is charged twice, and every message is processed.
//!
//! A few messages run with the other tests; `PIGEONHOLE_RATE_LIMIT_MESSAGES` sets the number of
//! messages per user.

use std::time::{Duration, Instant};

use sqlx::PgConnection;
use store::inbound_messages::{self, Acceptance, NewMessage};
use uuid::Uuid;

use crate::{
    app::{TestApp, text},
    database::Database,
    process::Process,
    settings::test_run_variable,
    wait::eventually,
};

const USERS: u32 = 10;
const WORKERS: usize = 3;
const BURST: usize = 5;

/// 25 ms per message.
const PER_HOUR: &str = "144000";
const PERIOD: i64 = 25_000_000;

const QUIET: &str = "+12025550190";

/// A kill delays the jobs that the worker held by this long.
const LEASE: Duration = Duration::from_secs(2);

fn number(user: u32) -> String {
    format!("+12025551{user:03}")
}

/// Stores this many messages of each user, with a limit that all of them pass within a few minutes.
///
/// Also returns the SIDs of messages of a quiet user that were processed before.
async fn start_workers(messages: u32) -> (TestApp, Vec<Process>, Vec<String>) {
    let database = Database::create()
        .await
        .with("RATE_LIMIT_MESSAGES_PER_HOUR", PER_HOUR)
        .with("RATE_LIMIT_BURST", BURST.to_string())
        .with("JOB_LEASE_SECONDS", LEASE.as_secs().to_string())
        .with("RUST_LOG", "warn,pigeonhole::services=info");
    let app = TestApp::on(database, pigeonhole::services::Role::Receiver).await;
    for (n, number) in (0..USERS).map(number).chain([QUIET.to_owned()]).enumerate() {
        let user = Uuid::from_u128(n as u128 + 1);
        let mut conn = app.pool.acquire().await.unwrap();
        store::users::ensure(&mut conn, user).await.unwrap();
        drop(conn);
        app.link(user, &number).await;
    }
    let workers: Vec<Process> = (0..WORKERS).map(|_| worker(&app)).collect();
    let mut idle = Vec::new();
    for n in 0..25 {
        // Slower than the user's own rate limit.
        tokio::time::sleep(Duration::from_nanos(2 * PERIOD.unsigned_abs())).await;
        let sid = app.deliver_text(&text(QUIET, "Hello")).await;
        app.wait_until_ended(&sid).await;
        // The first messages also open connections and prepare statements.
        if n >= 5 {
            idle.push(sid);
        }
    }
    let mut conn = app.pool.acquire().await.unwrap();
    for user in 0..USERS {
        accept(&mut conn, &app, user, messages).await;
    }
    drop(conn);
    (app, workers, idle)
}

fn worker(app: &TestApp) -> Process {
    Process::start("worker", &app.settings)
}

/// Stores messages of a user as the receiver does.
async fn accept(conn: &mut PgConnection, app: &TestApp, user: u32, messages: u32) {
    let (keyring, from) = (app.settings.keyring(), number(user));
    let acceptance = |n: u32| {
        let sid = format!("SM{user:016x}{n:016x}");
        let fields = [
            ("MessageSid", sid.as_str()),
            ("AccountSid", app.settings.get("TWILIO_ACCOUNT_SID")),
            ("From", &from),
            ("To", "+15005550006"),
            ("Body", "flood"),
        ];
        let message = NewMessage {
            message_sid: sid.clone(),
            account_sid: fields[1].1.to_owned(),
            sender: from.clone(),
            fields: fields.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
        };
        Acceptance {
            message: message.seal(&keyring).unwrap(),
            trace: None,
        }
    };
    let all: Vec<Acceptance> = (0..messages).map(acceptance).collect();
    for batch in all.chunks(500) {
        inbound_messages::accept_all(conn, batch).await.unwrap();
    }
}

/// The number of rate-limited messages that have not ended.
async fn unfinished(app: &TestApp) -> i64 {
    let quiet = app.settings.keyring().blind_index(QUIET);
    sqlx::query_scalar(
        "select count(*) from pigeonhole.inbound_messages where state = 'received' and sender_index <> $1",
    )
        .bind(quiet.as_str())
        .fetch_one(&app.pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_window_exceeds_the_limit_and_no_message_is_charged_twice_despite_kills() {
    let messages = test_run_variable("PIGEONHOLE_RATE_LIMIT_MESSAGES")
        .map_or(80, |messages| messages.parse().expect("a number"));
    let (app, mut workers, idle) = start_workers(messages).await;
    let started = Instant::now();
    let alone = Duration::from_nanos(PERIOD.unsigned_abs()) * messages;
    let limit = alone * 2 + Duration::from_mins(1);
    let (mut kills, mut quiet) = (0, Vec::new());
    while unfinished(&app).await > 0 {
        assert!(
            started.elapsed() < limit,
            "{} are left",
            unfinished(&app).await
        );
        // At a random moment of a message's processing, and often within one lease.
        tokio::time::sleep(Duration::from_millis(rand::random_range(100..600))).await;
        quiet.push(app.deliver_text(&text(QUIET, "Hello")).await);
        tokio::time::sleep(Duration::from_millis(rand::random_range(100..600))).await;
        workers.remove(rand::random_range(0..WORKERS)).kill();
        workers.push(worker(&app));
        kills += 1;
    }
    eventually("all jobs end", Duration::from_secs(30), async || {
        (app.rows().await.jobs == 0).then_some(())
    })
    .await;
    let took = started.elapsed();
    assert_eq!(app.rows().await.dead, 0);

    for user in 0..USERS {
        let reservations = reservations(&app, &number(user)).await;
        assert_eq!(reservations.len(), messages as usize);
        let charged = sqlx::query_scalar("select tat_ns from queue.rate_limits where key = $1")
            .bind(format!("message:{}", Uuid::from_u128(u128::from(user) + 1)))
            .fetch_one(&app.pool)
            .await
            .expect("the maintenance has not come by just now, at 17 minutes past the hour");
        assert_eq!(check_limit(&reservations, charged), Ok(()), "user {user}");
    }
    let (early, not_processed): (i64, i64) = sqlx::query_as(
        "select count(*) filter (where finished_at < reserved_for), count(*) filter (where state <> 'processed')
         from pigeonhole.inbound_messages",
    )
    .fetch_one(&app.pool)
    .await
    .unwrap();
    assert_eq!((early, not_processed), (0, 0));
    let (before, _) = took_ms(&app, &idle).await;
    let (median, most) = took_ms(&app, &quiet).await;
    println!(
        "figures of the rate limit: {USERS} users with {messages} messages each, done in {took:.1?} ({alone:.1?} is the \
         least); workers killed {kills}; {} messages of a quiet user meanwhile: p50 {median:.1} ms, {:.2} times that before, most {most:.1} ms",
        quiet.len(),
        median / before
    );
}

/// The time from receipt to end, in milliseconds: the median and the maximum of these messages.
async fn took_ms(app: &TestApp, sids: &[String]) -> (f64, f64) {
    sqlx::query_as(
        "select percentile_cont(0.5) within group (order by took), max(took) from (
             select extract(epoch from finished_at - received_at)::float8 * 1000 as took
             from pigeonhole.inbound_messages where message_sid = any($1)) as quiet",
    )
    .bind(sids)
    .fetch_one(&app.pool)
    .await
    .unwrap()
}

/// The reservations of a sender's messages, in order, in nanoseconds since the epoch.
async fn reservations(app: &TestApp, from: &str) -> Vec<i64> {
    let index = app.settings.keyring().blind_index(from);
    sqlx::query_scalar(
        "select (extract(epoch from reserved_for) * 1000000)::bigint * 1000 from pigeonhole.inbound_messages
         where sender_index = $1 order by reserved_for",
    )
    .bind(index.as_str())
    .fetch_all(&app.pool)
    .await
    .unwrap()
}

/// In each window that begins and ends with a reservation there are at most `burst + W / period`
/// reservations; no other windows need checking. The limit has charged exactly these reservations.
fn check_limit(reservations: &[i64], charged: i64) -> Result<(), String> {
    let burst = i64::try_from(BURST).unwrap();
    let (mut earliest, mut arrival) = (i64::MAX, 0);
    for (n, reservation) in (0..).zip(reservations) {
        // For reservations i to j: j - i + 1 <= burst + (start[j] - start[i]) / period, all
        // multiplied by period.
        let ahead = n * PERIOD - reservation;
        earliest = earliest.min(ahead);
        if ahead - earliest > (burst - 1) * PERIOD {
            return Err(format!(
                "too many in a window that ends with reservation {n}"
            ));
        }
        arrival = arrival.max(*reservation) + PERIOD;
    }
    // Messages that are charged at their end may wait for each other, and are charged by the time
    // before: that may be a little more than needed.
    if (0..PERIOD / 2).contains(&(charged - arrival)) {
        return Ok(());
    }
    Err(format!(
        "{} ns were charged and not given",
        charged - arrival
    ))
}

#[test]
fn the_check_detects_an_extra_reservation_and_a_charge_without_reservation() {
    let check = |reservations: [i64; 8], charged| {
        check_limit(&reservations.map(|n| n * PERIOD), charged * PERIOD)
    };
    check([0, 0, 0, 0, 0, 1, 2, 3], 8).unwrap();
    check([0, 0, 0, 0, 0, 0, 2, 3], 8).unwrap_err();
    check([0, 0, 0, 0, 0, 1, 2, 3], 9).unwrap_err();
    check([0, 0, 0, 0, 0, 2, 3, 4], 9).unwrap_err();
}

#[tokio::test]
async fn a_message_waits_for_its_reservation_without_an_attempt_and_excess_messages_are_refused() {
    let database = Database::create()
        .await
        .with("RATE_LIMIT_MESSAGES_PER_HOUR", "3600")
        .with("RATE_LIMIT_BURST", "2")
        .with("RATE_LIMIT_MAX_DELAY", "2s");
    let app = TestApp::on(database, pigeonhole::services::Role::Both).await;
    let mut states = Vec::new();
    let mut sids = Vec::new();
    for n in 0..5 {
        sids.push(app.deliver(&format!("message {n}")).await);
    }
    for sid in &sids {
        states.push(app.wait_until_ended(sid).await);
    }
    // Two start at once and two within two seconds. The fifth would have to wait for three.
    states.sort();
    assert_eq!(states[..4], ["processed"; 4]);
    assert_eq!(states[4], "rate_limited");
    let (waited, reservations): (i64, i64) = sqlx::query_as(
        "select count(*) filter (where reserved_for > received_at + interval '0.4 s'), count(reserved_for)
         from pigeonhole.inbound_messages where finished_at >= reserved_for or reserved_for is null",
    )
    .fetch_one(&app.pool)
    .await
    .unwrap();
    assert_eq!((waited, reservations), (2, 4));
    assert_eq!(app.rows().await.dead, 0);
}
