//! The phone number API: a signed-in user links a number, verifies it with a code, looks at it,
//! unlinks it.
//!
//! The reading order of a request: `observe` opens its span, the extractors (`extractors`,
//! `idempotency`, `json_body`) check who sends it and read it, and a handler (`link`, `verify`,
//! `own`) does the work in one transaction. In the transaction the handler first looks for the
//! response to an earlier request with the same key (`idempotency`), then checks the limits
//! (`limits`). No response holds anything about other users: the API does not look up whether a
//! number belongs to another user.

mod client_ip;
mod delivery;
mod error;
mod extractors;
mod idempotency;
mod json_body;
mod jwks;
mod limits;
mod link;
mod number;
mod observe;
mod openapi;
mod own;
mod response;
mod schema;
mod state;
mod tokens;
mod verify;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    http::{HeaderName, HeaderValue, Method, header},
};
use queue::{Pool, Waker};
use store::Keyring;
use tower_http::cors::CorsLayer;
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;

pub(crate) use limits::daily_budget;

use crate::{config::ApiConfig, metrics::receiver as metrics};
use error::ApiError;
use observe::observed;
use state::ApiState;
use tokens::TokenCheck;

/// How long a browser may cache the response to a preflight request.
const PREFLIGHT_AGE: Duration = Duration::from_hours(1);

/// The phone number API of a process.
pub struct Api {
    state: Arc<ApiState>,
    cors: Option<CorsLayer>,
}

impl Api {
    /// An API that stores through this pool and wakes the workers.
    ///
    /// # Errors
    /// If the HTTP client cannot be made, or an origin is not one.
    pub fn start(
        config: &ApiConfig,
        pool: Pool,
        keyring: Arc<Keyring>,
        waker: &Waker,
    ) -> anyhow::Result<Self> {
        let tokens = TokenCheck::new(&config.tokens)?;
        tokens.warm_up();
        metrics::start_api();
        Ok(Self {
            state: Arc::new(ApiState {
                pool,
                keyring,
                waker: waker.clone(),
                tokens,
                verification: config.verification.clone(),
                trusted_proxies: config.trusted_proxies.clone(),
            }),
            cors: cors(&config.origins)?,
        })
    }

    /// The routes, with their `OpenAPI` document and a page to browse it.
    pub fn router(self) -> Router {
        let (routes, document) = OpenApiRouter::with_openapi(openapi::document())
            .routes(observed("link", routes!(link::link)))
            .routes(observed("show", routes!(own::show)))
            .routes(observed("unlink", routes!(own::unlink)))
            .routes(observed("verify", routes!(verify::verify)))
            .split_for_parts();
        let routes = routes
            .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
            .fallback(async || ApiError::NotFound)
            .with_state(self.state)
            .merge(SwaggerUi::new("/api/docs").url("/api/openapi.json", document));
        match self.cors {
            Some(cors) => routes.layer(cors),
            None => routes,
        }
    }
}

/// What pages of these origins may do. They send the token in a header, so CORS needs no
/// credentials.
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
