//! Twilio's REST API: it sends a message, finds messages that may have been sent or that no webhook
//! brought, and reads and changes the settings for inbound messages.
//!
//! A message costs money and reaches a person, and the API has no idempotency key. So the client
//! writes a request to send at most once: no retry, no redirect, no reused connection. If the
//! result is unknown, it returns [`CreateError::Unclear`] and does not ask again.
//!
//! Source: Twilio docs, [message
//! resource](https://www.twilio.com/docs/messaging/api/message-resource).

mod account;
mod ask;
mod error;
mod inbound;
mod message;
mod pages;
mod received;
mod sent;
mod webhook_alerts;
mod webhook_numbers;

use std::{fmt, sync::Arc, time::Duration};

use reqwest::{RequestBuilder, Response, header::RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

pub use crate::MessageStatus;
use crate::{AccountSid, metrics::ApiCall};
pub use account::{AccountStatus, TwilioAccount};
pub use ask::AskError;
pub(crate) use error::seconds as retry_after_seconds;
pub use error::{CreateError, ListError, NotProcessed, SendRefusal, TwilioAccountProblem, Unclear};
pub use inbound::{Inbound, IncomingNumber, MessagingService, SettingChange};
pub use message::{CreatedMessage, MessageRecord, OutboundMessage, Sender};
pub use received::{InboundRecord, MediaRecord};
pub use webhook_alerts::WebhookAlert;

/// The time limit of a connection, including name look-up and TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The time limit of a request. It is longer than [`CONNECT_TIMEOUT`], so that its end always means
/// that there was a connection.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The longest answer that is no page of a long list, in bytes.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// Our credentials at Twilio.
#[derive(Clone)]
pub struct Credentials {
    /// The account.
    pub account: AccountSid,
    /// The account's SID, or that of an API key.
    pub username: String,
    /// The account's auth token, or the API key's secret.
    pub secret: SecretString,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, [sealed])", self.account)
    }
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The base URL is not usable.
    #[error("the address of Twilio's API must be an http or https URL without a query")]
    BaseUrl,
    /// TLS or the resolver could not be set up.
    #[error("cannot make an HTTP client")]
    Http(#[source] reqwest::Error),
}

/// A client of the REST API. It is cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    credentials: Credentials,
    /// The API's base URL, without a final slash.
    base: String,
    /// The path of the list of messages.
    path: String,
}

impl Client {
    /// Makes a client of the API at `base`: `https://api.twilio.com`, except in tests.
    pub fn new(base: Url, credentials: Credentials) -> Result<Self, ClientError> {
        let usable = matches!(base.scheme(), "http" | "https")
            && base.has_host()
            && base.query().is_none()
            && base.fragment().is_none();
        if !usable {
            return Err(ClientError::BaseUrl);
        }
        // A request that is written twice may create two messages. These features would write it
        // twice:
        // - hyper-util retries on another connection if the server closes a pooled one
        //   (`retry_canceled_requests`). It does so only before any writing. Without idle
        //   connections, it never happens.
        // - reqwest retries a request that an HTTP/2 server reports as not processed.
        // - A redirect with status 307 or 308 repeats the POST and forwards the credentials.
        // A proxy from the environment would see numbers and codes, so it is off.
        let http = reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            .http1_only()
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .build()
            .map_err(ClientError::Http)?;
        for call in ApiCall::OF_CLIENT {
            call.start();
        }
        Ok(Self(Arc::new(Inner {
            http,
            base: String::from(base).trim_end_matches('/').to_owned(),
            path: format!("/2010-04-01/Accounts/{}/Messages.json", credentials.account),
            credentials,
        })))
    }

    /// Sends a message. The request is written at most once.
    #[tracing::instrument(name = "twilio.create_message", level = "debug", skip_all, fields(http.response.status_code = tracing::field::Empty))]
    pub async fn create_message(
        &self,
        message: &OutboundMessage<'_>,
    ) -> Result<CreatedMessage, CreateError> {
        ApiCall::CreateMessage.measure(self.create(message)).await
    }

    async fn create(&self, message: &OutboundMessage<'_>) -> Result<CreatedMessage, CreateError> {
        let request = self
            .0
            .http
            .post(self.0.url(&self.0.path))
            .form(&message.form());
        let mut answer = self
            .0
            .ask(request)
            .await
            .map_err(|error| error::of_failure(&error))?;
        let status = answer.status().as_u16();
        let body = read_body(&mut answer, MAX_ANSWER).await;
        if answer.status().is_success() {
            // The status line alone proves that a message exists, but does not identify it.
            let body = body.map_err(|error| match error {
                Unread::Failed(error) => error::of_failure(&error),
                Unread::TooLong => CreateError::Unclear(Unclear::UnexpectedAnswer(status)),
            })?;
            return CreatedMessage::read(&body)
                .ok_or(CreateError::Unclear(Unclear::UnexpectedAnswer(status)));
        }
        // The body of a refusal only refines its status.
        Err(error::of_answer(
            status,
            retry_after(&answer),
            &body.unwrap_or_default(),
        ))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.0.credentials).finish()
    }
}

impl Inner {
    fn url(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.base)
    }

    /// The base URL of an API that Twilio serves on a host of its own, such as `monitor`. A simulated
    /// Twilio serves all of them on the same host.
    fn on_host(&self, name: &str) -> String {
        match self.base.strip_prefix("https://api.") {
            Some(rest)
                if rest == "twilio.com"
                    || (rest.ends_with(".twilio.com") && !rest.contains('/')) =>
            {
                format!("https://{name}.{rest}")
            }
            _ => self.base.clone(),
        }
    }

    /// Sends the request. It removes the URL from errors, as the URL of the list contains a number.
    async fn ask(&self, request: RequestBuilder) -> Result<Response, reqwest::Error> {
        let Credentials {
            username, secret, ..
        } = &self.credentials;
        let answer = request
            .basic_auth(username, Some(secret.expose_secret()))
            .send()
            .await
            .map_err(reqwest::Error::without_url)?;
        tracing::Span::current().record("http.response.status_code", answer.status().as_u16());
        Ok(answer)
    }
}

/// Why a body could not be read.
enum Unread {
    Failed(reqwest::Error),
    TooLong,
}

/// Reads a body of at most `limit` bytes.
async fn read_body(answer: &mut Response, limit: usize) -> Result<Vec<u8>, Unread> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(Unread::Failed)? {
        if body.len() + chunk.len() > limit {
            return Err(Unread::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn retry_after(answer: &Response) -> Option<&str> {
    answer.headers().get(RETRY_AFTER)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials {
            account: format!("AC{}", "0".repeat(32)).parse().expect("a SID"),
            username: "SKkey".to_owned(),
            secret: "s3cret".to_owned().into(),
        }
    }

    #[test]
    fn an_unusable_base_url_makes_no_client() {
        for base in [
            "ftp://api.twilio.com",
            "mailto:x",
            "https://api.twilio.com/?a=1",
        ] {
            let made = Client::new(base.parse().expect("a URL"), credentials());
            assert!(matches!(made, Err(ClientError::BaseUrl)), "{base}");
        }
    }

    #[test]
    fn credentials_go_only_to_twilio_or_to_the_configured_host() {
        for (base, expected) in [
            ("https://api.twilio.com", "https://monitor.twilio.com"),
            (
                "https://api.dublin.ie1.twilio.com",
                "https://monitor.dublin.ie1.twilio.com",
            ),
            ("http://127.0.0.1:4000", "http://127.0.0.1:4000"),
            ("https://api.evil-twilio.com", "https://api.evil-twilio.com"),
            (
                "https://api.example.com/x.twilio.com",
                "https://api.example.com/x.twilio.com",
            ),
        ] {
            let client = Client::new(base.parse().expect("a URL"), credentials());
            assert_eq!(client.expect("a client").0.on_host("monitor"), expected);
        }
    }

    #[test]
    fn debug_shows_the_account_and_no_secret() {
        let base = "https://api.twilio.com".parse().expect("a URL");
        let client = Client::new(base, credentials()).expect("a client");
        let shown = format!("{client:?} {:?}", credentials());
        assert!(
            shown.contains("AC000") && !shown.contains("s3cret"),
            "{shown}"
        );
    }
}
