//! The program's services in this process, on their own database, with a simulated Twilio that
//! delivers to them.

use std::{net::SocketAddr, ops::Deref, sync::Arc, thread, time::Duration};

use metrics_exporter_prometheus::PrometheusBuilder;
use pigeonhole::{
    config::{Reader, WorkerConfig},
    services::{Role, Services, ServicesConfig},
    worker,
};
use queue::testing::TestQueue;
use tokio_util::sync::CancellationToken;
use twilio_simulator::{InboundText, SimulatedApi, WebhookDelivery, WebhookSender};

use crate::{
    database::{Database, NUMBER},
    left_jobs::DeclaredJobs,
};

/// Running services that include a receiver.
///
/// When it is dropped, its queue must hold exactly the jobs that the test has declared in `leaves`:
/// usually none.
pub(crate) struct TestApp {
    database: Database,
    pub(crate) receiver: SocketAddr,
    pub(crate) twilio: WebhookSender,
    /// The jobs that the test leaves.
    pub(crate) leaves: DeclaredJobs,
    /// `Some` if the test runs the jobs.
    queue: Option<TestQueue>,
    /// `None` after [`TestApp::stop`].
    services: Option<Services>,
    stop: CancellationToken,
}

impl TestApp {
    /// Starts a receiver. The test runs the jobs: see [`TestApp::drain`].
    pub(crate) async fn start() -> Self {
        Self::start_on(Database::create().await).await
    }

    /// The same on this database.
    pub(crate) async fn start_on(database: Database) -> Self {
        let queue = test_queue(&database);
        let mut app = Self::on(database, Role::Receiver).await;
        app.queue = Some(queue);
        app
    }

    /// The same with a simulated Twilio that lists the messages and serves their files.
    pub(crate) async fn with_twilio(
        prepare: impl FnOnce(Database) -> Database,
    ) -> (Self, SimulatedApi) {
        let (database, api) = prepare(Database::create().await).with_twilio().await;
        let mut app = Self::start_on(database).await;
        let receiver = format!("http://{}", app.receiver);
        api.connect(&receiver);
        app.twilio = api.webhook_sender(&receiver);
        (app, api)
    }

    /// Starts only a receiver: the jobs it enqueues wait.
    pub(crate) async fn receiver_only() -> Self {
        Self::on(Database::create().await, Role::Receiver).await
    }

    /// Starts the services of this role. A worker runs the jobs as they become ready.
    pub(crate) async fn on(database: Database, role: Role) -> Self {
        let env = database.settings.env();
        let config = Reader::read(&env, |r| ServicesConfig::read(r, role)).unwrap();
        // A recorder of its own: the program's recorder is global to the process, and each test has
        // its own services.
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let stop = CancellationToken::new();
        let services = Services::start(config, metrics, stop.clone())
            .await
            .unwrap();
        let receiver = services.receiver_addr.expect("a role with a receiver");
        Self {
            twilio: database.settings.twilio(receiver),
            receiver,
            database,
            leaves: DeclaredJobs::default(),
            queue: None,
            services: Some(services),
            stop,
        }
    }

    /// The address of the admin listener: metrics, health and the operator's page.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.services.as_ref().expect("it runs").admin_addr
    }

    /// Stops the services gracefully. The returned database may hold jobs for the next app.
    pub(crate) async fn stop(mut self) -> Database {
        self.stop.cancel();
        let services = self.services.take().expect("it runs");
        services.finished().await.unwrap();
        self.database.clone()
    }

    /// Runs all ready jobs. If a worker runs the jobs, waits until none is left.
    pub(crate) async fn drain(&self) {
        match &self.queue {
            Some(queue) => drop(queue.drain().await),
            None => self.database.drain().await,
        }
    }

    /// Runs the jobs until the message has ended, and lets time pass for jobs that wait. Returns
    /// the message's final state.
    pub(crate) async fn run_until_ended(&self, message_sid: &str) -> String {
        let queue = self.queue.as_ref().expect("the test runs the jobs");
        for _ in 0..100 {
            queue.drain().await;
            let state = self.state(message_sid).await;
            let state = state.expect("the message is stored");
            if state != "received" {
                return state;
            }
            queue.advance(Duration::from_secs(5)).await;
        }
        panic!("the message does not end");
    }

    /// Delivers a text from the linked number, which the receiver must accept. Returns its SID.
    pub(crate) async fn deliver(&self, body: &str) -> String {
        self.deliver_text(&text(NUMBER, body)).await
    }

    /// Delivers a message, which the receiver must accept. Returns its SID.
    pub(crate) async fn deliver_text(&self, text: &InboundText) -> String {
        let WebhookDelivery {
            message_sid,
            status,
            ..
        } = self.twilio.deliver(text).await.unwrap();
        assert_eq!(status, 200);
        message_sid
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if self.services.is_some() && !thread::panicking() {
            self.leaves
                .check(self.database.settings.get("DATABASE_URL"));
        }
    }
}

impl Deref for TestApp {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

/// The jobs that a worker with the settings of this database runs. The test runs them.
pub(crate) fn test_queue(database: &Database) -> TestQueue {
    let config = Reader::read(&database.settings.env(), WorkerConfig::read).unwrap();
    let keyring = Arc::new(database.settings.keyring());
    let runner = worker::runner(
        &config,
        database.pool.clone().into(),
        keyring,
        Duration::ZERO,
    );
    TestQueue::of(runner.unwrap())
}

pub(crate) fn text(from: &str, body: &str) -> InboundText {
    InboundText {
        from: from.to_owned(),
        body: body.to_owned(),
        ..InboundText::default()
    }
}

pub(crate) fn field(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}
