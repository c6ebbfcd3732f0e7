//! The program's services in this process, on a database of their own, and a Twilio that delivers to them.

use std::{net::SocketAddr, ops::Deref};

use metrics_exporter_prometheus::PrometheusBuilder;
use pigeonhole::{
    config::Reader,
    dev::twilio::{Delivery, SimulatedApi, SimulatedTwilio, Text},
    services::{Role, Services, ServicesConfig},
};
use tokio_util::sync::CancellationToken;

use crate::database::{Database, NUMBER};

/// Running services with a receiver.
pub(crate) struct TestApp {
    database: Database,
    pub(crate) receiver: SocketAddr,
    pub(crate) twilio: SimulatedTwilio,
    services: Services,
    stop: CancellationToken,
}

impl TestApp {
    /// Receiver and worker.
    pub(crate) async fn start() -> Self {
        Self::on(Database::create().await, Role::Both).await
    }

    /// Receiver and worker, and a Twilio that has the files of messages.
    pub(crate) async fn with_twilio(
        prepare: impl FnOnce(Database) -> Database,
    ) -> (Self, SimulatedApi) {
        let (database, api) = prepare(Database::create().await).with_twilio().await;
        let app = Self::on(database, Role::Both).await;
        api.connect(&format!("http://{}", app.receiver));
        (app, api)
    }

    /// A receiver alone: what it takes in waits.
    pub(crate) async fn receiver_only() -> Self {
        Self::on(Database::create().await, Role::Receiver).await
    }

    pub(crate) async fn on(database: Database, role: Role) -> Self {
        let env = database.settings.env();
        let config = Reader::read(&env, |r| ServicesConfig::read(r, role)).unwrap();
        // Not the program's own: that is one a process, and each test has its own services.
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
            services,
            stop,
        }
    }

    /// Where metrics, health and the operator's page are.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.services.admin_addr
    }

    /// Stops the services in order.
    pub(crate) async fn stop(self) -> Database {
        self.stop.cancel();
        self.services.finished().await.unwrap();
        self.database
    }

    /// Delivers a text from the linked number, which must be accepted; answers its SID.
    pub(crate) async fn deliver(&self, body: &str) -> String {
        self.deliver_text(&text(NUMBER, body)).await
    }

    /// Delivers a message, which must be accepted; answers its SID.
    pub(crate) async fn deliver_text(&self, text: &Text) -> String {
        let Delivery {
            message_sid,
            status,
            ..
        } = self.twilio.deliver(text).await.unwrap();
        assert_eq!(status, 200);
        message_sid
    }
}

impl Deref for TestApp {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

pub(crate) fn text(from: &str, body: &str) -> Text {
    Text {
        from: from.to_owned(),
        body: body.to_owned(),
        ..Text::default()
    }
}

pub(crate) fn field(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}
