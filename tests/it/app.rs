//! The program's services in this process, on their own database, with a simulated Twilio that
//! delivers to them.

use std::{net::SocketAddr, ops::Deref, thread};

use metrics_exporter_prometheus::PrometheusBuilder;
use pigeonhole::{
    config::Reader,
    services::{Role, Services, ServicesConfig},
};
use tokio_util::sync::CancellationToken;
use twilio_simulator::{InboundText, SimulatedApi, WebhookDelivery, WebhookSender};

use crate::{
    database::{Database, NUMBER},
    left_jobs::DeclaredJobs,
};

/// Running services that include a receiver.
///
/// When it is dropped, its queue must hold exactly the jobs that the test has declared in `leaves`:
/// usually none. So a test with a worker ends with [`TestApp::drain`] or waits for its jobs
/// otherwise.
pub(crate) struct TestApp {
    database: Database,
    pub(crate) receiver: SocketAddr,
    pub(crate) twilio: WebhookSender,
    /// The jobs that the test leaves.
    pub(crate) leaves: DeclaredJobs,
    /// `None` after [`TestApp::stop`].
    services: Option<Services>,
    stop: CancellationToken,
}

impl TestApp {
    /// Starts a receiver and a worker.
    pub(crate) async fn start() -> Self {
        Self::on(Database::create().await, Role::Both).await
    }

    /// Starts a receiver, a worker, and a simulated Twilio that serves the media files of messages.
    pub(crate) async fn with_twilio(
        prepare: impl FnOnce(Database) -> Database,
    ) -> (Self, SimulatedApi) {
        let (database, api) = prepare(Database::create().await).with_twilio().await;
        let app = Self::on(database, Role::Both).await;
        api.connect(&format!("http://{}", app.receiver));
        (app, api)
    }

    /// Starts only a receiver: the jobs it enqueues wait.
    pub(crate) async fn receiver_only() -> Self {
        Self::on(Database::create().await, Role::Receiver).await
    }

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
