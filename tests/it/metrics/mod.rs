//! Every metric, read over HTTP from a real run of the program.

mod cardinality;
mod catalogue;
mod exposition;
mod observer;

use std::net::SocketAddr;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use store::users;
use twilio_simulator::{
    Behaviour, Callbacks, InboundText, SendAnswer, SimulatedApi, WebhookSender,
};
use uuid::Uuid;

use crate::{
    api::token_of,
    app::text,
    database::{Database, NUMBER, UNLINKED_NUMBER},
    process::Process,
    wait::{PATIENCE, eventually},
    webhook::{client, encode, webhook},
};
use exposition::Scrape;

/// The number to link.
const FREE: &str = "+12025550143";

/// A number that Twilio cannot send to.
const NOWHERE: &str = "+12025550144";

/// Receiver and worker in one process, and their simulated Twilio.
struct MetricsHarness {
    database: Database,
    api: SimulatedApi,
    twilio: WebhookSender,
    client: Client,
    receiver: SocketAddr,
    admin: SocketAddr,
    _process: Process,
}

impl MetricsHarness {
    async fn start() -> Self {
        let (database, api) = Database::create()
            .await
            .with("RUST_LOG", "warn,pigeonhole=info")
            .with_twilio()
            .await;
        let (process, receiver) = Process::receiver("serve", &database.settings).await;
        api.connect(&format!("http://{receiver}"));
        Self {
            twilio: database.settings.twilio(receiver),
            admin: process.addr("admin listens").await,
            client: client(),
            receiver,
            api,
            database,
            _process: process,
        }
    }

    async fn scrape(&self) -> Scrape {
        Scrape::of(self.admin).await
    }

    /// Waits until the metrics show it.
    async fn wait_for_metrics(&self, what: &str, seen: impl Fn(&Scrape) -> bool) -> Scrape {
        eventually(what, PATIENCE, async || {
            let scrape = self.scrape().await;
            seen(&scrape).then_some(scrape)
        })
        .await
    }

    async fn user(&self) -> Uuid {
        let user = Uuid::new_v4();
        let mut conn = self.database.pool.acquire().await.unwrap();
        users::ensure(&mut conn, user).await.unwrap();
        user
    }

    /// A user's request to the phone number API.
    async fn ask(&self, user: Uuid, path: &str, body: Option<Value>) -> StatusCode {
        let url = format!("http://{}/api/user/phone-number{path}", self.receiver);
        let token = token_of(user, self.database.settings.get("JWT_SECRET"));
        let method = body.as_ref().map_or(Method::GET, |_| Method::POST);
        let request = self.client.request(method, url).bearer_auth(token);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        request.send().await.unwrap().status()
    }

    /// Exercises all of the program: messages, repeats, forgeries, files, a number that is linked,
    /// a number that cannot be linked, and a failing job.
    async fn exercise_all(&self) {
        self.messages().await;
        self.verification().await;
        sqlx::query(
            "insert into queue.jobs (kind, max_attempts, args) values ('process_message', 3, '{}')",
        )
        .execute(&self.database.pool)
        .await
        .unwrap();
        self.database.drain().await;
    }

    async fn messages(&self) {
        for from in [NUMBER, UNLINKED_NUMBER] {
            let parameters = self.twilio.parameters(&text(from, "Met Ana #here"));
            let sid = sid_in(&parameters);
            for _ in 0..2 {
                let delivery = self.twilio.post(sid.clone(), &parameters).await.unwrap();
                assert_eq!(delivery.status, 200);
            }
            let forged = format!("{}=", "A".repeat(27));
            let forged = webhook(self.receiver, &forged, encode(&parameters));
            assert_eq!(forged.send().await.unwrap().status(), 403);
        }
        let picture = InboundText {
            media: vec!["image/jpeg".to_owned()],
            ..text(NUMBER, "Look")
        };
        assert_eq!(self.twilio.deliver(&picture).await.unwrap().status, 200);
        // Both are refused: a webhook that is not read, and one that cannot be read.
        let empty = webhook(self.receiver, "", "").send().await.unwrap();
        assert_eq!(empty.status(), 403);
    }

    async fn verification(&self) {
        let refused = SendAnswer::Refuse {
            status: 400,
            code: 21211,
        };
        self.api.behave(NOWHERE, refused.without_callbacks());
        let delivered = Behaviour {
            answer: SendAnswer::Accept,
            callbacks: Callbacks::default(),
        };
        self.api.behave(FREE, delivered);
        let (user, unlucky) = (self.user().await, self.user().await);
        let link = |number: &str| Some(json!({ "phoneNumber": number }));
        let guess = |code: &str| Some(json!({ "phoneNumber": FREE, "code": code }));
        assert_eq!(self.ask(user, "", link(FREE)).await, StatusCode::CREATED);
        assert_eq!(
            self.ask(unlucky, "", link(NOWHERE)).await,
            StatusCode::CREATED
        );
        // Too soon after the first request.
        assert_eq!(
            self.ask(user, "", link(FREE)).await,
            StatusCode::TOO_MANY_REQUESTS
        );
        let code = eventually("the code arrives", PATIENCE, async || {
            let sent = self.api.accepted();
            let sms = sent.iter().find(|sms| sms.to == FREE)?;
            Some(
                sms.body
                    .chars()
                    .filter(char::is_ascii_digit)
                    .take(6)
                    .collect::<String>(),
            )
        })
        .await;
        let wrong = if code == "123456" { "654321" } else { "123456" };
        assert_eq!(
            self.ask(user, "/verify", guess(wrong)).await,
            StatusCode::BAD_REQUEST
        );
        assert_eq!(
            self.ask(user, "/verify", guess(&code)).await,
            StatusCode::OK
        );
        assert_eq!(
            self.ask(unlucky, "/verify", guess(&code)).await,
            StatusCode::BAD_REQUEST
        );
        assert_eq!(self.ask(user, "", None).await, StatusCode::OK);
        self.wait_for_metrics("the SMS is delivered", |scrape| {
            scrape.value("pigeonhole_sends_ended_total", &[("state", "delivered")]) == Some(1.0)
        })
        .await;
    }
}

fn sid_in(parameters: &[(String, String)]) -> String {
    let sid = parameters.iter().find(|(name, _)| name == "MessageSid");
    sid.map(|(_, value)| value.clone()).unwrap()
}
