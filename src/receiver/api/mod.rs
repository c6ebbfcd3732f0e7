//! The phone number API: a signed-in user links a number, proves it with a code, looks at it, unlinks it.
//!
//! The reading order of a request is `auth` (who is asking?), `body` and `number` (for what?), then one transaction: has
//! it been answered before (`idempotency`), is it allowed (`limits`), and what it does (`link`, `verify`, `own`). Users
//! are told of nothing that is not theirs: whether a number is somebody else's is not even looked up.

mod answer;
mod auth;
mod body;
mod call;
mod client_ip;
mod delivery;
mod error;
mod idempotency;
mod jwks;
mod keys;
mod limits;
mod link;
mod number;
mod openapi;
mod own;
mod schema;
mod verify;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    http::{HeaderName, HeaderValue, Method, header},
};
use ipnet::IpNet;
use queue::Waker;
use sqlx::PgPool;
use store::Keyring;
use tower_http::cors::CorsLayer;
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;

pub use keys::{Keys, NoKeys};
pub(crate) use limits::daily_budget;
pub use number::Country;

use crate::{
    config::{ApiConfig, VerificationConfig},
    metrics::receiver as metrics,
};
use auth::TokenCheck;
use error::ApiError;

/// How long a browser may remember what it is allowed.
const PREFLIGHT_AGE: Duration = Duration::from_hours(1);

/// Everything a request needs. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    pool: PgPool,
    keyring: Arc<Keyring>,
    waker: Waker,
    tokens: TokenCheck,
    verification: VerificationConfig,
    trusted_proxies: Vec<IpNet>,
    cors: Option<CorsLayer>,
}

impl Api {
    /// An API that stores through this pool and wakes the workers.
    ///
    /// # Errors
    /// If no HTTP client can be made, or an origin is none.
    pub fn start(
        config: &ApiConfig,
        pool: PgPool,
        keyring: Arc<Keyring>,
        waker: &Waker,
    ) -> anyhow::Result<Self> {
        let tokens = TokenCheck::new(&config.tokens)?;
        tokens.warm_up();
        metrics::start_api();
        Ok(Self(Arc::new(Inner {
            pool,
            keyring,
            waker: waker.clone(),
            tokens,
            verification: config.verification.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
            cors: cors(&config.origins)?,
        })))
    }

    /// Its routes, with their description and a page to browse it.
    pub fn router(self) -> Router {
        let (routes, document) = OpenApiRouter::with_openapi(openapi::document())
            .routes(routes!(link::link, own::show, own::unlink))
            .routes(routes!(verify::verify))
            .split_for_parts();
        let cors = self.0.cors.clone();
        let routes = routes
            .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
            .fallback(async || ApiError::NotFound)
            .with_state(self)
            .merge(SwaggerUi::new("/api/docs").url("/api/openapi.json", document));
        match cors {
            Some(cors) => routes.layer(cors),
            None => routes,
        }
    }
}

/// What pages of these origins may do. They send the token in a header, so no cookie or other credential is needed.
fn cors(origins: &[String]) -> anyhow::Result<Option<CorsLayer>> {
    if origins.is_empty() {
        return Ok(None);
    }
    let origins: Vec<HeaderValue> = origins
        .iter()
        .map(|origin| origin.parse())
        .collect::<Result<_, _>>()?;
    let request_headers: [HeaderName; 3] = [
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        idempotency::HEADER,
    ];
    let cors = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(request_headers)
        .expose_headers([header::RETRY_AFTER])
        .max_age(PREFLIGHT_AGE);
    Ok(Some(cors))
}
