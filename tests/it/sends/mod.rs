//! Outgoing SMS: the real jobs and client, with a simulated Twilio that shows all the failures of
//! the real one.

mod kills;
mod outcomes;
mod reports;
mod unclear;

use std::time::Duration;

use pigeonhole::services::Role;
use queue::testing::{JobOutcome, TestQueue};
use store::{
    E164,
    sends::{self, NewVerification},
};
use twilio_simulator::SimulatedApi;
use uuid::Uuid;

use crate::{
    app::{TestApp, test_queue},
    database::Database,
    wait::eventually,
};

/// The number to send to.
const TO: &str = "+12025550143";

/// The text to send.
const BODY: &str = "Your verification code is 482913. It expires in 10 minutes.";

/// The time until an SMS of these tests expires.
const LIFE: Duration = Duration::from_mins(10);

/// A receiver for status reports, a simulated Twilio, and a queue whose jobs the test runs.
struct SendHarness {
    app: TestApp,
    api: SimulatedApi,
    queue: TestQueue,
}

/// A row of `pigeonhole.sends`.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
struct SendRow {
    state: String,
    reason: Option<String>,
    error_code: Option<i32>,
    twilio_sid: Option<String>,
    erased: bool,
}

impl SendHarness {
    async fn start() -> Self {
        Self::on(Database::create().await).await
    }

    async fn on(database: Database) -> Self {
        let (app, api) = receiver_and_twilio_on(database).await;
        let queue = test_queue(&app);
        Self { app, api, queue }
    }

    async fn send(&self) -> Uuid {
        send(&self.app, TO).await
    }

    async fn run(&self) -> JobOutcome {
        self.queue.run_one().await.expect("a job is ready").outcome
    }

    async fn row(&self, id: Uuid) -> SendRow {
        row(&self.app, id).await
    }

    async fn state(&self, id: Uuid) -> String {
        self.row(id).await.state
    }

    /// Lets time pass for the queue and the sends.
    async fn advance(&self, time: Duration) {
        self.queue.advance(time).await;
        age_sends(&self.app, time).await;
    }

    async fn wait_for_state(&self, id: Uuid, state: &str) {
        eventually(
            "the send reaches the state",
            crate::wait::PATIENCE,
            async || (self.state(id).await == state).then_some(()),
        )
        .await;
    }
}

/// A receiver without a worker, and the simulated Twilio that its settings name.
pub(crate) async fn receiver_and_twilio(
    prepare: impl FnOnce(Database) -> Database,
) -> (TestApp, SimulatedApi) {
    receiver_and_twilio_on(prepare(Database::create().await)).await
}

/// The same on this database.
async fn receiver_and_twilio_on(database: Database) -> (TestApp, SimulatedApi) {
    let (database, api) = database.with_twilio().await;
    let app = TestApp::on(database, Role::Receiver).await;
    api.connect(&format!("http://{}", app.receiver));
    (app, api)
}

/// Stores a send of the test's user together with its job.
async fn send(database: &Database, to: &str) -> Uuid {
    let send = NewVerification {
        user_id: database.user,
        to: E164::parse(to).unwrap(),
        body: BODY.to_owned(),
        life: LIFE,
        trace: None,
    };
    let mut tx = database.pool.begin().await.unwrap();
    let keyring = database.settings.keyring();
    let send = sends::enqueue_verification(&mut tx, &keyring, &send)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    send
}

async fn row(database: &Database, id: Uuid) -> SendRow {
    sqlx::query_as(
        "select state, reason, error_code, twilio_sid, sealed is null as erased from pigeonhole.sends where id = $1",
    )
    .bind(id)
    .fetch_one(&database.pool)
    .await
    .unwrap()
}

/// Makes all sends older.
pub(crate) async fn age_sends(database: &Database, time: Duration) {
    sqlx::query(
        "update pigeonhole.sends set created_at = created_at - passed, posted_at = posted_at - passed,
             expires_at = expires_at - passed
         from make_interval(secs => $1) as passed",
    )
    .bind(time.as_secs_f64())
    .execute(&database.pool)
    .await
    .unwrap();
}
