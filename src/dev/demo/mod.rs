//! The demo page stands in for the app: its sign-in, its front end, and its user's phone. Only
//! `dev` serves it, as every visitor may sign in as any user.
//!
//! The page calls the receiver's API as a real front end does. This server adds only what the app
//! itself would have, and the phone.

mod page;
mod sign_in;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{
    Router,
    body::Bytes,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use queue::Pool;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use store::{enrichment_items, users};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use twilio_simulator::{InboundText, SimulatedApi, WebhookSender};
use url::form_urlencoded;

use crate::{config::Reader, http};
use sign_in::{DemoTokens, DemoUser};

/// The page's address, unless it is in use.
const DEFAULT_ADDR: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 3001);

/// The most items that the page shows.
const MOST_ITEMS: i64 = 100;

/// The time that running requests get when `dev` stops.
const GRACE: Duration = Duration::from_secs(1);

/// The page's listener. It opens before the receiver starts, as the receiver must know the page's
/// origin.
pub(super) struct DemoServer {
    listener: TcpListener,
    addr: SocketAddr,
}

/// What the page needs from the rest of `dev`.
pub(super) struct DemoParts {
    pub(super) pool: Pool,
    /// `JWT_SECRET`.
    pub(super) secret: SecretString,
    /// The receiver's URL, for browsers.
    pub(super) receiver: String,
    /// The number that users text.
    pub(super) our_number: Option<String>,
    /// Sends texts to that number.
    pub(super) sender: WebhookSender,
    /// Holds the SMS that were delivered to phones.
    pub(super) phones: SimulatedApi,
}

struct DemoContext {
    pool: Pool,
    tokens: DemoTokens,
    receiver: String,
    our_number: Option<String>,
    sender: WebhookSender,
    phones: SimulatedApi,
}

/// Reads `JWT_SECRET`.
pub(super) fn secret(r: &mut Reader<'_>) -> Option<SecretString> {
    r.required("JWT_SECRET", |text| Ok(text.to_owned().into()))
}

impl DemoServer {
    /// Listens at this address. Without one, listens at the default address, or at a free port if
    /// that is in use.
    pub(super) async fn bind(addr: Option<SocketAddr>) -> anyhow::Result<Self> {
        let listener = match addr {
            Some(addr) => TcpListener::bind(addr).await.with_context(|| {
                format!("cannot listen on {addr}: is it in use? Set --demo-addr to another")
            })?,
            None => match TcpListener::bind(DEFAULT_ADDR).await {
                Ok(listener) => listener,
                Err(_) => TcpListener::bind((DEFAULT_ADDR.ip(), 0)).await?,
            },
        };
        let addr = listener.local_addr()?;
        Ok(Self { listener, addr })
    }

    /// The page's URL.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The page's possible origins, in the format of `CORS_ALLOWED_ORIGINS`.
    pub(super) fn origins(&self) -> String {
        format!("{},http://localhost:{}", self.url(), self.addr.port())
    }

    /// Serves until `stop`.
    pub(super) async fn serve(
        self,
        parts: DemoParts,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let page = page::router(&parts.receiver)?;
        let context = DemoContext {
            tokens: DemoTokens::new(&parts.secret),
            pool: parts.pool,
            receiver: parts.receiver,
            our_number: parts.our_number,
            sender: parts.sender,
            phones: parts.phones,
        };
        let routes = Router::new()
            .route("/demo/settings", get(settings))
            .route("/demo/sign-in", post(sign_in))
            .route("/demo/sms", get(sms))
            .route("/demo/texts", post(text))
            .route("/demo/items", get(items))
            .merge(page)
            .with_state(Arc::new(context));
        http::serve(self.listener, routes, stop, GRACE).await;
        Ok(())
    }
}

/// Why a request failed.
enum DemoError {
    /// The request is invalid.
    Request(&'static str),
    /// The token is missing or invalid.
    Token,
    /// Something else failed.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for DemoError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl IntoResponse for DemoError {
    fn into_response(self) -> Response {
        let (status, sentence) = match self {
            Self::Request(sentence) => (StatusCode::BAD_REQUEST, sentence),
            Self::Token => (StatusCode::UNAUTHORIZED, "Please sign in again"),
            Self::Failed(error) => {
                tracing::warn!(%error, "a request of the demo page failed");
                (
                    StatusCode::BAD_GATEWAY,
                    "That did not work; see the log of dev",
                )
            }
        };
        (status, answer(&json!({ "error": sentence }))).into_response()
    }
}

fn answer(value: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, value.to_string()).into_response()
}

/// Accepts JSON only: a form on another site cannot send JSON without the browser asking first.
fn parse<'b, T: Deserialize<'b>>(headers: &HeaderMap, body: &'b Bytes) -> Result<T, DemoError> {
    let content_type = headers.get(header::CONTENT_TYPE);
    if content_type.is_none_or(|value| value != "application/json") {
        return Err(DemoError::Request("The request is not JSON"));
    }
    serde_json::from_slice(body).map_err(|_| DemoError::Request("The request lacks something"))
}

async fn settings(State(demo): State<Arc<DemoContext>>) -> Response {
    answer(&json!({ "api": demo.receiver, "ourNumber": demo.our_number }))
}

#[derive(Deserialize)]
struct SignInRequest {
    user: DemoUser,
}

async fn sign_in(
    State(demo): State<Arc<DemoContext>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, DemoError> {
    let SignInRequest { user } = parse(&headers, &body)?;
    let (id, name) = user.user();
    let mut conn = demo.pool.acquire().await?;
    users::ensure(&mut conn, id).await?;
    let token = demo.tokens.mint(id, store::now(&mut conn).await?)?;
    Ok(answer(&json!({ "token": token, "name": name })))
}

/// Lists the SMS that were delivered to the number `to`, oldest first.
async fn sms(State(demo): State<Arc<DemoContext>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let to = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "to");
    let to = to.map(|(_, value)| value.into_owned()).unwrap_or_default();
    let messages = demo.phones.messages_to(&to, 0).await.into_iter();
    let arrived = messages.filter(|message| message.status == "delivered");
    let arrived = arrived.map(|message| json!({ "sid": message.sid, "body": message.body }));
    answer(&arrived.collect())
}

#[derive(Deserialize)]
struct TextRequest {
    from: String,
    body: String,
}

/// Sends a text. The receiver must accept its webhook.
async fn text(
    State(demo): State<Arc<DemoContext>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, DemoError> {
    let TextRequest { from, body } = parse(&headers, &body)?;
    let text = InboundText {
        from,
        body,
        ..InboundText::default()
    };
    let delivery = demo.sender.deliver(&text).await?;
    if delivery.status != 200 {
        let error = anyhow::anyhow!("the receiver answered HTTP {}", delivery.status);
        return Err(DemoError::Failed(error));
    }
    Ok(answer(&json!({ "sid": delivery.message_sid })))
}

/// Lists the items of the signed-in user, newest first.
async fn items(
    State(demo): State<Arc<DemoContext>>,
    headers: HeaderMap,
) -> Result<Response, DemoError> {
    let user_id = demo.tokens.user_of(&headers).ok_or(DemoError::Token)?;
    let mut conn = demo.pool.acquire().await?;
    let items = enrichment_items::of_user(&mut conn, user_id, MOST_ITEMS).await?;
    let items = items.into_iter().map(|item| {
        json!({ "id": item.id, "type": item.item_type, "field": item.field_name, "value": item.value })
    });
    Ok(answer(&items.collect()))
}
