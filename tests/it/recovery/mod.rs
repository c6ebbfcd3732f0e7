//! Recovery: the simulated Twilio takes texts whose webhooks are lost, and the job
//! `recover_messages` brings them.

mod command;
mod erased;
mod failures;
mod kills;
mod once;
mod outage;
mod sent_time;

use std::time::Duration;

use chrono::{DateTime, Utc};
use jobs::{LookReport, LookScope, RecoveryDeps, StepError, recover};
use pigeonhole::{
    config::{Reader, WorkerConfig},
    worker::recovery_deps,
};
use queue::{
    NewJob, Waker,
    testing::{JobOutcome, TestQueue},
};
use sqlx::PgConnection;
use store::{job_args::RecoverMessages, recovery::LOOK_KEY};
use twilio_simulator::{InboundText, SimulatedApi};

use crate::{
    app::{TestApp, test_queue, text},
    database::{Database, NUMBER},
    wait::{PATIENCE, eventually},
};

/// The kind of the job.
const KIND: &str = "recover_messages";

/// How long after Twilio took it a lost text counts as settled, with a margin.
const SETTLED: Duration = Duration::from_secs(30);

/// A receiver, a simulated Twilio, and a queue whose jobs the test runs. It has looked once, two
/// hours ago.
struct RecoveryHarness {
    app: TestApp,
    api: SimulatedApi,
    queue: TestQueue,
}

impl RecoveryHarness {
    async fn start() -> Self {
        Self::with(|database| database).await
    }

    async fn with(prepare: impl FnOnce(Database) -> Database) -> Self {
        let prepare = |database: Database| prepare(database.with("RECOVERY", "on"));
        let (app, api) = TestApp::with_twilio(prepare).await;
        let queue = test_queue(&app);
        let harness = Self { app, api, queue };
        // The receiver asks for a look when it starts.
        eventually("a look is enqueued", PATIENCE, async || {
            (harness.looks().await == 1).then_some(())
        })
        .await;
        harness.queue.drain().await;
        assert_eq!(harness.looks().await, 1, "another look follows");
        harness.forget_request().await;
        harness.queue.advance(SETTLED).await;
        harness.queue.drain().await;
        assert_eq!(harness.looks().await, 0);
        harness.age_numbers(Duration::from_hours(2)).await;
        harness
    }

    /// As if the look that the receiver asked for had been asked for long ago.
    async fn forget_request(&self) {
        sqlx::query("delete from pigeonhole.recovery_requests")
            .execute(&self.app.pool)
            .await
            .unwrap();
    }

    /// The number of looks that wait.
    async fn looks(&self) -> i64 {
        sqlx::query_scalar("select count(*) from queue.jobs where kind = $1")
            .bind(KIND)
            .fetch_one(&self.app.pool)
            .await
            .unwrap()
    }

    /// Moves the times at which numbers were linked and looked at into the past.
    async fn age_numbers(&self, time: Duration) {
        for statement in [
            "update user_phone_numbers set created_at = created_at - make_interval(secs => $1)",
            "update pigeonhole.recovery_watermarks set since = since - make_interval(secs => $1),
                 looked_until = looked_until - make_interval(secs => $1)",
        ] {
            sqlx::query(statement)
                .bind(time.as_secs_f64())
                .execute(&self.app.pool)
                .await
                .unwrap();
        }
    }

    /// The database's time.
    async fn now(&self) -> DateTime<Utc> {
        let mut conn = self.app.pool.acquire().await.unwrap();
        store::now(&mut conn).await.unwrap()
    }

    /// Twilio took a text of the user this long ago, and its webhook failed. Returns its SID.
    async fn lose(&self, body: &str, ago: Duration) -> String {
        self.lose_text(&text(NUMBER, body), ago).await
    }

    async fn lose_text(&self, text: &InboundText, ago: Duration) -> String {
        self.api.take_lost(text, self.now().await - ago)
    }

    /// Enqueues a look and runs it and no other job. Returns its outcome.
    async fn look(&self) -> JobOutcome {
        let mut conn = self.app.pool.acquire().await.unwrap();
        enqueue_look(&mut conn).await;
        drop(conn);
        let ran = self.queue.run_one().await.expect("the look is ready");
        assert_eq!(ran.kind, KIND, "a look has a high priority");
        ran.outcome
    }

    /// Looks until nothing is left to find, and runs all jobs that result.
    async fn recover(&self) {
        let mut conn = self.app.pool.acquire().await.unwrap();
        enqueue_look(&mut conn).await;
        drop(conn);
        for _ in 0..20 {
            self.queue.drain().await;
            if self.looks().await == 0 {
                return;
            }
            self.queue.advance(SETTLED + Duration::from_secs(1)).await;
        }
        panic!("the looks do not end");
    }

    /// Looks as the command does, and returns what was found.
    async fn report(&self, scope: LookScope) -> Result<LookReport, StepError> {
        recover(&deps(&self.app), scope).await
    }

    /// How each message came, its state and its text, oldest first.
    async fn messages(&self) -> Vec<(String, String, String)> {
        sqlx::query_as(
            "select message_sid, source, state from pigeonhole.inbound_messages
             order by coalesce(sent_at, received_at), message_sid",
        )
        .fetch_all(&self.app.pool)
        .await
        .unwrap()
    }

    /// How the message came.
    async fn source(&self, sid: &str) -> Option<String> {
        sqlx::query_scalar("select source from pigeonhole.inbound_messages where message_sid = $1")
            .bind(sid)
            .fetch_optional(&self.app.pool)
            .await
            .unwrap()
    }

    async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&self.app.pool)
            .await
            .unwrap()
    }
}

/// What recovery works with, in a process with these settings.
fn deps(database: &Database) -> RecoveryDeps {
    let config = Reader::read(&database.settings.env(), WorkerConfig::read).unwrap();
    let config = config.recovery.expect("recovery is on");
    let keyring = std::sync::Arc::new(database.settings.keyring());
    let pool = database.pool.clone();
    let waker = Waker::start(&pool);
    recovery_deps(pool.into(), keyring, &config, waker).unwrap()
}

#[tokio::test]
async fn a_lost_text_is_recovered_with_everything_that_its_webhook_had() {
    let harness = RecoveryHarness::start().await;
    let lost = InboundText {
        fields: vec![("FromCity".to_owned(), "OAKLAND".to_owned())],
        ..text(NUMBER, "Met Ana #rust")
    };
    let by_alert = harness.lose_text(&lost, Duration::from_mins(10)).await;
    harness.api.set_conditions(|c| c.without_alerts = true);
    let by_list = harness.lose_text(&lost, Duration::from_mins(5)).await;
    harness.recover().await;
    let expected = [(&by_alert, "alert"), (&by_list, "list")]
        .map(|(sid, source)| (sid.clone(), source.to_owned(), "processed".to_owned()));
    assert_eq!(harness.messages().await, expected);
    let fields = async |sid: &str| {
        let mut conn = harness.app.pool.acquire().await.unwrap();
        let keyring = harness.app.settings.keyring();
        let stored = store::inbound_messages::load(&mut conn, &keyring, sid).await;
        stored.unwrap().unwrap().fields.unwrap()
    };
    let received = harness.api.received();
    let sent = received.iter().find(|text| text.sid == by_alert).unwrap();
    assert_eq!(fields(&by_alert).await, sent.parameters);
    let rebuilt = fields(&by_list).await;
    let webhook = received.iter().find(|text| text.sid == by_list).unwrap();
    for pair in &rebuilt {
        assert!(webhook.parameters.contains(pair), "{}", pair.0);
    }
    for name in ["Body", "From", "To", "AccountSid", "NumMedia", "SmsStatus"] {
        assert!(rebuilt.iter().any(|(known, _)| known == name), "{name}");
    }
    for sid in [&by_alert, &by_list] {
        assert_eq!(harness.app.values(sid).await, ["Met Ana #rust", "rust"]);
    }
}

#[tokio::test]
async fn files_of_a_lost_text_are_fetched_whether_or_not_there_is_an_alert() {
    let harness = RecoveryHarness::start().await;
    let lost = InboundText {
        media: ["image/png", "image/jpeg"].map(str::to_owned).into(),
        ..text(NUMBER, "two pictures")
    };
    let by_alert = harness.lose_text(&lost, Duration::from_mins(10)).await;
    harness.api.set_conditions(|c| c.without_alerts = true);
    let by_list = harness.lose_text(&lost, Duration::from_mins(5)).await;
    harness.recover().await;
    for (sid, source) in [(by_alert, "alert"), (by_list, "list")] {
        assert_eq!(harness.source(&sid).await.as_deref(), Some(source));
        assert_eq!(harness.app.state(&sid).await.as_deref(), Some("processed"));
        let files: i64 = sqlx::query_scalar(
            "select count(*) from pigeonhole.media where message_sid = $1 and state = 'stored'",
        )
        .bind(&sid)
        .fetch_one(&harness.app.pool)
        .await
        .unwrap();
        assert_eq!(files, 2, "{source}");
    }
    assert_eq!(
        harness.api.requests().media_list,
        1,
        "only where no alert says it"
    );
}

#[tokio::test]
async fn a_young_text_is_left_to_its_webhook_and_looked_for_again_soon() {
    let harness = RecoveryHarness::start().await;
    let sid = harness.lose("Hello", Duration::from_secs(12)).await;
    let JobOutcome::Snoozed { delay } = harness.look().await else {
        panic!("the look comes again");
    };
    assert_eq!(harness.source(&sid).await, None);
    assert!(delay <= SETTLED, "{delay:?}");
    harness.app.leaves.live(KIND, 1);
}

#[tokio::test]
async fn texts_that_come_this_moment_do_not_keep_the_looks_going() {
    let harness = RecoveryHarness::start().await;
    harness.lose("Hello", Duration::ZERO).await;
    assert_eq!(harness.look().await, JobOutcome::Completed);
}

#[tokio::test]
async fn a_late_entry_of_twilios_list_is_found() {
    let harness = RecoveryHarness::start().await;
    harness.recover().await;
    // The mark has moved on by now; the text is from before it.
    let sid = harness.lose("Hello", Duration::from_mins(50)).await;
    harness.recover().await;
    assert_eq!(harness.app.state(&sid).await.as_deref(), Some("processed"));
}

#[tokio::test]
async fn nothing_from_before_a_number_pointed_at_us_is_recovered() {
    let harness = RecoveryHarness::start().await;
    harness
        .lose("to another app", Duration::from_hours(3))
        .await;
    let sid = harness.lose("to us", Duration::from_mins(90)).await;
    harness.recover().await;
    let found: Vec<String> = harness.messages().await.into_iter().map(|m| m.0).collect();
    assert_eq!(found, [sid]);
}

#[tokio::test]
async fn messages_of_numbers_that_point_elsewhere_stay_untouched() {
    let harness = RecoveryHarness::start().await;
    let elsewhere = "https://other.example.com/sms";
    harness
        .api
        .set(|console| console.number.sms_url = elsewhere.to_owned());
    harness.lose("not for us", Duration::from_mins(10)).await;
    harness.recover().await;
    assert_eq!(harness.app.rows().await.messages, 0);
    // It points at us again: what came meanwhile was for the other program.
    let ours = format!("https://sms.example.com{}", crate::settings::WEBHOOK);
    harness.api.set(|console| console.number.sms_url = ours);
    harness.recover().await;
    assert_eq!(harness.app.rows().await.messages, 0);
}

#[tokio::test]
async fn only_configured_numbers_are_looked_at_where_they_are_configured() {
    let other = RecoveryHarness::with(|d| d.with("RECOVERY_NUMBERS", "+15005550099")).await;
    other.lose("Hello", Duration::from_mins(10)).await;
    other.recover().await;
    assert_eq!(other.app.rows().await.messages, 0);
    let ours = RecoveryHarness::with(|d| d.with("RECOVERY_NUMBERS", "+15005550006")).await;
    ours.lose("Hello", Duration::from_mins(10)).await;
    ours.recover().await;
    assert_eq!(ours.app.rows().await.messages, 1);
    assert_eq!(ours.api.requests().numbers, 0, "nobody had to ask for them");
}

/// Enqueues a look as the schedule does.
async fn enqueue_look(conn: &mut PgConnection) {
    let look = NewJob::of(&RecoverMessages {})
        .unwrap()
        .unique_key(LOOK_KEY);
    queue::enqueue_all(conn, &[look]).await.unwrap();
}
