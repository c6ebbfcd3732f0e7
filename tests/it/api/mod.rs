//! The phone number API: HTTP requests in, rows and jobs out.

mod bodies;
mod callers;
mod enumeration;
mod guesses;
mod jwks;
mod limits;
mod link;
mod outage;
mod own;
mod pages;
mod repeats;
mod schemathesis;
mod silence;
mod tokens;
mod two_users;
mod unauthorized;
mod verify;

use std::{net::SocketAddr, time::Duration};

use pigeonhole::services::Role;
use reqwest::{Client, Method, RequestBuilder, Response, header::HeaderMap};
use serde_json::{Value, json};
use store::{E164, sends, users};
use uuid::Uuid;

use crate::{app::TestApp, database::Database, webhook::client};
use callers::SignedInCaller;

pub(crate) use tokens::of as token_of;

/// The path of the user's number.
const PATH: &str = "/api/user/phone-number";

/// The path to which the code is posted.
const VERIFY: &str = "/api/user/phone-number/verify";

/// A US number that no user has.
const FREE: &str = "+12025550143";

/// Another such number.
const OTHER: &str = "+14155550167";

/// A receiver without a worker: enqueued SMS wait.
struct ApiHarness {
    app: TestApp,
    client: Client,
}

/// A response of the API.
#[derive(Debug, Clone, PartialEq)]
struct ApiAnswer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl ApiAnswer {
    async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).unwrap()
        };
        Self {
            status,
            headers,
            body,
        }
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The status and, if present, the error code.
    fn code(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or(""))
    }

    /// The wait that a refusal asks for. Header and body must agree.
    fn retry_after(&self) -> u64 {
        assert_eq!(self.code(), (429, "RATE_LIMITED"), "{self:?}");
        let seconds = self.body["retryAfter"].as_u64().unwrap();
        assert_eq!(self.header("retry-after"), seconds.to_string());
        assert!(seconds > 0);
        seconds
    }
}

impl ApiHarness {
    /// All callers of a test share one address, so the limit on addresses is raised.
    async fn start() -> Self {
        Self::with(&[]).await
    }

    async fn with(settings: &[(&str, &str)]) -> Self {
        let database = Database::create()
            .await
            .with("VERIFICATION_IP_HOURLY_LIMIT", "10000");
        let database = settings.iter().fold(database, |database, (name, value)| {
            database.with(name, *value)
        });
        Self::on(database).await
    }

    async fn on(database: Database) -> Self {
        let app = TestApp::on(database, Role::Receiver).await;
        app.leaves.any_live("send_verification"); // there is no worker
        Self {
            app,
            client: client(),
        }
    }

    /// The user of the database, whose number is [`crate::database::NUMBER`].
    fn linked(&self) -> SignedInCaller<'_> {
        SignedInCaller::new(self, self.app.user)
    }

    /// Creates a user without a number.
    async fn user(&self) -> SignedInCaller<'_> {
        let user = Uuid::new_v4();
        let mut conn = self.app.pool.acquire().await.unwrap();
        users::ensure(&mut conn, user).await.unwrap();
        SignedInCaller::new(self, user)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        request(&self.client, self.app.receiver, method, path)
    }

    /// All SMS that were enqueued, the oldest first: the number and the text.
    async fn sms(&self) -> Vec<(E164, String)> {
        let ids: Vec<Uuid> =
            sqlx::query_scalar("select id from pigeonhole.sends order by created_at")
                .fetch_all(&self.app.pool)
                .await
                .unwrap();
        let (mut conn, keyring) = (
            self.app.pool.acquire().await.unwrap(),
            self.app.settings.keyring(),
        );
        let mut sms = Vec::new();
        for id in ids {
            let send = sends::load(&mut conn, &keyring, id).await.unwrap().unwrap();
            sms.extend(send.message);
        }
        sms
    }

    /// The code in the last SMS to this number.
    async fn code_sent_to(&self, number: &str) -> String {
        let sms = self.sms().await;
        let (_, text) = sms.iter().rfind(|(to, _)| to.as_str() == number).unwrap();
        let code: String = text.chars().filter(char::is_ascii_digit).take(6).collect();
        assert_eq!(code.len(), 6, "{text}");
        code
    }

    /// Lets time pass: moves all stored times into the past.
    async fn advance(&self, time: Duration) {
        for columns in [
            "limit_log set at = at - $1",
            "sends set created_at = created_at - $1, updated_at = updated_at - $1, expires_at = expires_at - $1",
            "pending_verifications set requested_at = requested_at - $1, code_expires_at = code_expires_at - $1",
        ] {
            let statement = format!("update pigeonhole.{columns}");
            sqlx::query(sqlx::AssertSqlSafe(statement))
                .bind(time)
                .execute(&self.app.pool)
                .await
                .unwrap();
        }
    }

    async fn count(&self, what: &str) -> i64 {
        let statement = format!("select count(*) from {what}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
            .fetch_one(&self.app.pool)
            .await
            .unwrap()
    }

    /// The number of enqueued SMS. Each must have its job.
    async fn sends(&self) -> i64 {
        let sends = self.count("pigeonhole.sends").await;
        let jobs = self
            .count(
                "queue.jobs join pigeonhole.sends on sends.id::text = args ->> 'send'
                 where kind = 'send_verification'",
            )
            .await;
        assert_eq!(sends, jobs, "each send has its job");
        sends
    }

    /// The user to whom this verified number belongs.
    async fn owner(&self, number: &str) -> Option<Uuid> {
        let mut conn = self.app.pool.acquire().await.unwrap();
        let number = E164::parse(number).unwrap();
        let keyring = self.app.settings.keyring();
        store::user_phone_numbers::find_verified_user(&mut conn, &keyring, &number)
            .await
            .unwrap()
    }
}

fn request(client: &Client, receiver: SocketAddr, method: Method, path: &str) -> RequestBuilder {
    client.request(method, format!("http://{receiver}{path}"))
}

/// The body of a request to link a number.
fn number(text: &str) -> Value {
    json!({ "phoneNumber": text })
}

/// The body of a request to verify a number.
fn guess(number: &str, code: &str) -> Value {
    json!({ "phoneNumber": number, "code": code })
}

/// A code other than this one.
fn wrong(code: &str) -> String {
    let code: u32 = code.parse().unwrap();
    let other = if code == 999_999 { 100_000 } else { code + 1 };
    other.to_string()
}
