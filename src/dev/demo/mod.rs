//! The demo page, which plays the app: its sign-in, its front end, and its user's phone. Only `dev` has it: whoever
//! reaches it may sign in as anybody.
//!
//! What a real front end would ask the receiver, the page asks the receiver; this server gives it only what the app has
//! of its own, and the phone.

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
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use store::{enrichment_items, users};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::form_urlencoded;

use super::twilio::{SimulatedApi, SimulatedTwilio, Text};
use crate::{config::Reader, http};
use sign_in::{Guest, Tokens};

/// Where the page is, unless that is in use.
const DEFAULT_ADDR: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 3001);

/// More than the page's user cares to see.
const MOST_ITEMS: i64 = 100;

/// How long requests may go on when `dev` stops.
const GRACE: Duration = Duration::from_secs(1);

/// The page's listener: it is there before the receiver, which must know the page's origin.
pub(super) struct Demo {
    listener: TcpListener,
    addr: SocketAddr,
}

/// What the page needs.
pub(super) struct Parts {
    /// The database.
    pub(super) pool: PgPool,
    /// `JWT_SECRET`.
    pub(super) secret: SecretString,
    /// The receiver's address, for browsers.
    pub(super) api: String,
    /// Our number at Twilio.
    pub(super) our_number: Option<String>,
    /// Sends texts to our number.
    pub(super) twilio: SimulatedTwilio,
    /// Has the SMS that have arrived at people's phones.
    pub(super) phones: SimulatedApi,
}

struct Backing {
    pool: PgPool,
    tokens: Tokens,
    api: String,
    our_number: Option<String>,
    twilio: SimulatedTwilio,
    phones: SimulatedApi,
}

/// `JWT_SECRET`.
pub(super) fn secret(r: &mut Reader<'_>) -> Option<SecretString> {
    r.required("JWT_SECRET", |text| Ok(text.to_owned().into()))
}

impl Demo {
    /// Listens at this address, or else at the default one, or else at a free one.
    pub(super) async fn bind(addr: Option<SocketAddr>) -> anyhow::Result<Self> {
        let listener = match addr {
            Some(addr) => TcpListener::bind(addr).await.with_context(|| {
                format!("cannot listen on {addr}: is it in use? --demo-addr names another")
            })?,
            None => match TcpListener::bind(DEFAULT_ADDR).await {
                Ok(listener) => listener,
                Err(_) => TcpListener::bind((DEFAULT_ADDR.ip(), 0)).await?,
            },
        };
        let addr = listener.local_addr()?;
        Ok(Self { listener, addr })
    }

    /// The page's address.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The origins that the page may have, as `CORS_ALLOWED_ORIGINS` wants them.
    pub(super) fn origins(&self) -> String {
        format!("{},http://localhost:{}", self.url(), self.addr.port())
    }

    /// Serves until `stop`.
    pub(super) async fn serve(self, parts: Parts, stop: CancellationToken) -> anyhow::Result<()> {
        let page = page::router(&parts.api)?;
        let backing = Backing {
            tokens: Tokens::new(&parts.secret),
            pool: parts.pool,
            api: parts.api,
            our_number: parts.our_number,
            twilio: parts.twilio,
            phones: parts.phones,
        };
        let routes = Router::new()
            .route("/demo/settings", get(settings))
            .route("/demo/sign-in", post(sign_in))
            .route("/demo/sms", get(sms))
            .route("/demo/texts", post(text))
            .route("/demo/items", get(items))
            .merge(page)
            .with_state(Arc::new(backing));
        http::serve(self.listener, routes, stop, GRACE).await;
        Ok(())
    }
}

/// Why there is no answer of the usual kind.
enum DemoError {
    /// The request is no good.
    Request(&'static str),
    /// The token is no good.
    Token,
    /// Something else does not work.
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
                tracing::warn!(%error, "the demo page got no answer");
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

/// JSON only: a form of another site's page cannot send that unasked.
fn parse<'b, T: Deserialize<'b>>(headers: &HeaderMap, body: &'b Bytes) -> Result<T, DemoError> {
    let content_type = headers.get(header::CONTENT_TYPE);
    if content_type.is_none_or(|value| value != "application/json") {
        return Err(DemoError::Request("The request is not JSON"));
    }
    serde_json::from_slice(body).map_err(|_| DemoError::Request("The request lacks something"))
}

async fn settings(State(demo): State<Arc<Backing>>) -> Response {
    answer(&json!({ "api": demo.api, "ourNumber": demo.our_number }))
}

#[derive(Deserialize)]
struct SignIn {
    user: Guest,
}

async fn sign_in(
    State(demo): State<Arc<Backing>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, DemoError> {
    let SignIn { user } = parse(&headers, &body)?;
    let (id, name) = user.user();
    let mut conn = demo.pool.acquire().await?;
    users::ensure(&mut conn, id).await?;
    let token = demo.tokens.mint(id, store::now(&mut conn).await?)?;
    Ok(answer(&json!({ "token": token, "name": name })))
}

/// The SMS that have arrived at the number `to`, the oldest first.
async fn sms(State(demo): State<Arc<Backing>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let to = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "to");
    let to = to.map(|(_, value)| value.into_owned()).unwrap_or_default();
    let messages = demo.phones.messages_to(&to, 0).await.into_iter();
    let arrived = messages.filter(|message| message.status == "delivered");
    let arrived = arrived.map(|message| json!({ "sid": message.sid, "body": message.body }));
    answer(&arrived.collect())
}

#[derive(Deserialize)]
struct NewText {
    from: String,
    body: String,
}

/// Sends a text, whose webhook must be accepted.
async fn text(
    State(demo): State<Arc<Backing>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, DemoError> {
    let NewText { from, body } = parse(&headers, &body)?;
    let text = Text {
        from,
        body,
        ..Text::default()
    };
    let delivery = demo.twilio.deliver(&text).await?;
    if delivery.status != 200 {
        let error = anyhow::anyhow!("the receiver answered HTTP {}", delivery.status);
        return Err(DemoError::Failed(error));
    }
    Ok(answer(&json!({ "sid": delivery.message_sid })))
}

/// The items of the user who is signed in, the newest first.
async fn items(
    State(demo): State<Arc<Backing>>,
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
