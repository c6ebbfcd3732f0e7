//! Our client of Twilio's REST API and the simulated Twilio: the client classifies every possible
//! response correctly.

mod account;
mod callbacks;
mod conditions;
mod console;
mod lists;
mod received;
mod sending;
mod webhooks;
mod wire;

use std::{net::SocketAddr, time::Duration};

use axum::{Router, extract::Request};
use chrono::{DateTime, TimeDelta, Utc};
use pigeonhole::http;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};
use twilio::rest::{Client, CreateError, CreatedMessage, Credentials, OutboundMessage, Sender};
use twilio_simulator::{BoundApi, SimulatedApi};

use crate::{
    settings::{PUBLIC_BASE_URL, ProgramSettings},
    wait::PATIENCE,
};

/// Our number.
const OURS: &str = "+15005550006";

/// A number without special behaviour.
const ANA: &str = "+12025550123";

/// A simulated API, and a client with its credentials.
pub(crate) struct SimulatorHarness {
    pub(crate) api: SimulatedApi,
    pub(crate) settings: ProgramSettings,
    pub(crate) client: Client,
    _stop: DropGuard,
}

impl SimulatorHarness {
    pub(crate) async fn start() -> Self {
        let bound = bind().await;
        let settings = ProgramSettings::random("postgres://nobody@127.0.0.1/none")
            .with("TWILIO_API_BASE_URL", bound.base_url());
        let mut account = settings.account();
        account.keys = vec![("SKkey".to_owned(), "of-the-key".into())];
        let stop = CancellationToken::new();
        let api = bound.serve(account, stop.clone()).unwrap();
        let base = settings.get("TWILIO_API_BASE_URL");
        let client = client(base, &settings, settings.get("TWILIO_AUTH_TOKEN"));
        Self {
            api,
            client,
            settings,
            _stop: stop.drop_guard(),
        }
    }

    async fn send(&self, to: &str, body: &str) -> Result<CreatedMessage, CreateError> {
        send(&self.client, to, body).await
    }
}

async fn bind() -> BoundApi {
    SimulatedApi::bind(([127, 0, 0, 1], 0).into())
        .await
        .unwrap()
}

fn client(base: &str, settings: &ProgramSettings, secret: &str) -> Client {
    let account = settings.get("TWILIO_ACCOUNT_SID");
    let credentials = Credentials {
        account: account.parse().unwrap(),
        username: account.to_owned(),
        secret: secret.into(),
    };
    Client::new(base.parse().unwrap(), credentials).unwrap()
}

/// A client of the server at this address.
fn client_at(base: &str) -> Client {
    let settings = ProgramSettings::random("postgres://nobody@127.0.0.1/none");
    client(base, &settings, "a-token")
}

async fn send(client: &Client, to: &str, body: &str) -> Result<CreatedMessage, CreateError> {
    let callback = format!("{PUBLIC_BASE_URL}/api/sms/status?send=a%20b");
    let message = OutboundMessage {
        to,
        from: &Sender::Number(OURS.to_owned()),
        body,
        status_callback: Some(&callback),
        validity: Duration::from_mins(10),
    };
    client.create_message(&message).await
}

/// Waits for an event, and fails the test if it does not happen.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, what).await;
    waited.expect("the event happens in time")
}

/// A time before all events of a test, by the clock of the simulated Twilio.
fn long_ago() -> DateTime<Utc> {
    DateTime::<Utc>::from_timestamp(1_500_000_000, 0).unwrap()
}

fn second() -> TimeDelta {
    TimeDelta::seconds(1)
}

/// An HTTP server with the responses of a test.
struct FakeTwilio {
    base: String,
    _stop: DropGuard,
}

impl FakeTwilio {
    async fn answering(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = base_of(listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let grace = Duration::from_secs(1);
        tokio::spawn(http::serve(listener, router, stop.clone(), grace));
        Self {
            base,
            _stop: stop.drop_guard(),
        }
    }

    /// It passes each request to the test, and responds as the test wants.
    async fn showing<A: axum::response::IntoResponse>(
        answer: impl Fn() -> A + Clone + Send + Sync + 'static,
    ) -> (Self, mpsc::UnboundedReceiver<Request>) {
        let (seen, shown) = mpsc::unbounded_channel();
        let router = Router::new().fallback(move |request: Request| {
            seen.send(request).unwrap();
            let response = answer().into_response();
            async { response }
        });
        (Self::answering(router).await, shown)
    }
}

fn base_of(addr: SocketAddr) -> String {
    format!("http://{addr}")
}
