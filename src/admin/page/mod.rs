//! The operator's page: the state of the queue, the problems that need attention, and buttons that
//! fix them.
//!
//! It shows the same facts as `pigeonhole jobs` and `pigeonhole messages`, through
//! [`crate::presentation`]. It shows no personal data: no number, no text, no lane. It works
//! without JavaScript. Every change is a form, and one handler, [`change`], checks all forms.

mod change;
mod dead;
mod error;
mod fields;
mod flash;
mod form_token;
mod guard;
mod job;
mod layout;
mod messages;
mod overview;
mod state;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use queue::Pool;
use tokio::time::timeout;

use crate::config::AdminConfig;
use error::PageError;
use form_token::FormToken;
use guard::PageAccess;
use state::PageDeps;

/// How long a request may take. Each of its statements has a limit at the server.
const LIMIT: Duration = Duration::from_secs(30);

/// The largest form that the page accepts, in bytes.
const FORM_BYTES: usize = 8 * 1024;

/// The routes of the page, or one route that says why there is no page.
pub(super) fn router(config: &AdminConfig, pool: Pool) -> Router {
    let Some(access) = PageAccess::of(config) else {
        tracing::warn!(
            "no operator's page: ADMIN_ADDR is not a loopback address, and ADMIN_TOKEN is not set"
        );
        let why = "the operator's page is not served: ADMIN_ADDR is not a loopback address, and ADMIN_TOKEN is not set\n";
        return Router::new().route("/", get(async move || (StatusCode::NOT_FOUND, why)));
    };
    let deps = PageDeps {
        pool,
        token: FormToken::random(),
    };
    Router::new()
        .route("/", get(overview::overview))
        .route("/dead", get(dead::dead))
        .route("/jobs/{id}", get(job::job))
        .route("/messages", get(messages::messages))
        .route("/change", post(change::change))
        .route("/page.css", get(style))
        .layer(DefaultBodyLimit::max(FORM_BYTES))
        .layer(middleware::from_fn(in_time))
        .layer(middleware::from_fn_with_state(
            Arc::new(access),
            guard::guard,
        ))
        .with_state(Arc::new(deps))
}

/// A request that waits for a silent connection gives it up.
async fn in_time(request: Request, next: Next) -> Response {
    match timeout(LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => PageError::Database("It took too long. Try again.".to_owned()).into_response(),
    }
}

async fn style() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
        include_str!("page.css"),
    )
}
