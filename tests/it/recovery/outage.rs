//! An outage while Twilio takes texts: afterwards all of them take effect, each once, within a
//! minute and without an operator.

use std::time::{Duration, Instant};

use embedded_postgres::{PostgresServer, PostgresSettings};
use rustix::process::Signal;
use tokio::task::{JoinSet, block_in_place};
use twilio_simulator::{InboundText, SimulatedApi};

use crate::{
    app::text,
    database::{Database, NUMBER},
    process::Process,
    settings::test_run_variable,
    wait::{PATIENCE, eventually},
};

/// After this time, everything that was lost has taken effect.
const LIMIT: Duration = Duration::from_mins(1);

/// A text with one item.
const BODY: &str = "Met Ana";

/// How many texts are lost in one outage: `PIGEONHOLE_RECOVERY_TEXTS`. One in four has a file, one
/// in a hundred is a STOP.
fn texts() -> usize {
    test_run_variable("PIGEONHOLE_RECOVERY_TEXTS").map_or(100, |number| number.parse().unwrap())
}

/// How long an outage lasts: `PIGEONHOLE_RECOVERY_OUTAGE`, in seconds.
fn outage() -> Duration {
    let seconds = test_run_variable("PIGEONHOLE_RECOVERY_OUTAGE");
    Duration::from_secs(seconds.map_or(5, |seconds| seconds.parse().unwrap()))
}

/// How many outages there are, one after the other.
const ROUNDS: usize = 2;

struct OutageHarness {
    database: Database,
    api: SimulatedApi,
    /// The texts that Twilio took, of all rounds.
    texts: usize,
    stops: usize,
    files: usize,
}

impl OutageHarness {
    async fn on(database: Database) -> Self {
        let (database, api) = database
            .with("RECOVERY", "on")
            .with("JOB_LEASE_SECONDS", "2")
            .with_twilio()
            .await;
        Self {
            database,
            api,
            texts: 0,
            stops: 0,
            files: 0,
        }
    }

    /// Waits for the first look, which marks from when on messages are recovered.
    async fn watched(&self) {
        eventually("the number has a watermark", PATIENCE, async || {
            let marks = "select count(*) from pigeonhole.recovery_watermarks";
            let marks: i64 = sqlx::query_scalar(marks)
                .fetch_one(&self.database.pool)
                .await
                .unwrap();
            (marks == 1).then_some(())
        })
        .await;
    }

    /// Twilio takes texts, evenly over the time of an outage. Every webhook must fail.
    async fn lose_texts(&mut self, receiver: &str) {
        let twilio = self.api.webhook_sender(receiver);
        let mut webhooks = JoinSet::new();
        let pause = outage() / u32::try_from(texts()).unwrap();
        for n in 0..texts() {
            let lost = if n % 100 == 7 {
                self.stops += 1;
                text(&format!("+1202557{:04}", self.stops), "STOP")
            } else if n % 4 == 0 {
                self.files += 1;
                InboundText {
                    media: vec!["image/png".to_owned()],
                    ..text(NUMBER, BODY)
                }
            } else {
                text(NUMBER, BODY)
            };
            let twilio = twilio.clone();
            webhooks.spawn(async move { twilio.deliver(&lost).await });
            self.texts += 1;
            tokio::time::sleep(pause).await;
        }
        for delivery in webhooks.join_all().await {
            assert!(delivery.is_err() || delivery.is_ok_and(|d| d.status == 503));
        }
    }

    /// Waits until every text has taken effect, exactly once.
    async fn all_took_effect(&self, scenario: &str) {
        let started = Instant::now();
        let counts = async || -> (i64, i64, i64, i64) {
            sqlx::query_as(
                "select (select count(*) from pigeonhole.inbound_messages where state <> 'received'),
                        (select count(*) from enrichment_items where item_type = 'field' and starts_with(value, $1)),
                        (select count(*) from pigeonhole.opt_outs where opted_out),
                        (select count(*) from pigeonhole.media where state = 'stored')",
            )
            .bind(BODY)
            .fetch_one(&self.database.pool)
            .await
            .unwrap()
        };
        let (texts, stops, files) = (
            i64::try_from(self.texts).unwrap(),
            i64::try_from(self.stops).unwrap(),
            i64::try_from(self.files).unwrap(),
        );
        let expected = (texts, texts - stops, stops, files);
        let what = format!("all texts take effect: {expected:?}");
        eventually(&what, LIMIT, async || {
            (counts().await == expected).then_some(())
        })
        .await;
        eprintln!(
            "{scenario}: {texts} texts, {files} with files, {stops} STOP, in {:.1?}",
            started.elapsed()
        );
        // Nothing is done twice afterwards.
        let jobs = "select count(*) from queue.jobs where kind = 'process_message'";
        let waiting: i64 = sqlx::query_scalar(jobs)
            .fetch_one(&self.database.pool)
            .await
            .unwrap();
        assert_eq!(waiting, 0);
        assert_eq!(counts().await, expected);
        assert_eq!(self.database.rows().await.dead, 0);
    }
}

/// The URL of a receiver at this address.
fn url(addr: std::net::SocketAddr) -> String {
    format!("http://{addr}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_that_come_while_everything_is_stopped_take_effect_within_a_minute_of_its_return() {
    let mut harness = OutageHarness::on(Database::create().await).await;
    let (mut process, mut addr) = Process::receiver("serve", &harness.database.settings).await;
    harness.watched().await;
    for _ in 0..ROUNDS {
        process.kill();
        harness.lose_texts(&url(addr)).await;
        (process, addr) = Process::receiver("serve", &harness.database.settings).await;
        harness.all_took_effect("everything stopped").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_that_come_while_the_receiver_is_stopped_take_effect_within_a_minute_of_its_return() {
    let mut harness = OutageHarness::on(Database::create().await).await;
    let settings = harness.database.settings.clone();
    let _worker = Process::start("worker", &settings);
    let (mut receiver, mut addr) = Process::receiver("receiver", &settings).await;
    harness.watched().await;
    for _ in 0..ROUNDS {
        receiver.signal(Signal::TERM);
        receiver.ended(PATIENCE).await;
        harness.lose_texts(&url(addr)).await;
        (receiver, addr) = Process::receiver("receiver", &settings).await;
        harness.all_took_effect("receiver stopped").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_that_come_while_the_database_is_away_take_effect_within_a_minute_of_its_return() {
    let server = block_in_place(|| PostgresServer::start_temporary(PostgresSettings::default()));
    let mut server = server.unwrap();
    let mut harness = OutageHarness::on(Database::create_on(&server).await).await;
    let (_process, addr) = Process::receiver("serve", &harness.database.settings).await;
    harness.watched().await;
    for _ in 0..ROUNDS {
        block_in_place(|| server.stop_immediate()).unwrap();
        harness.lose_texts(&url(addr)).await;
        block_in_place(|| server.start_again()).unwrap();
        harness.all_took_effect("database away").await;
    }
}
