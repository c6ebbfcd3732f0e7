//! The operator's page: the queue at a glance, what wants attention, and the buttons that set it right.
//!
//! It shows what `pigeonhole jobs` and `pigeonhole messages` show, by the same functions, and no personal data: no
//! number, no text, no lane. It works without script; every change is a form, checked in one place, [`change`].

mod change;
mod dead;
mod guard;
mod job;
mod layout;
mod messages;
mod overview;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, RawQuery},
    http::{StatusCode, header},
    middleware,
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use maud::{Markup, html};
use queue::admin::AdminError;
use sqlx::PgPool;
use store::StoreError;
use url::form_urlencoded;

use crate::config::AdminConfig;
use guard::{Access, FormToken};

/// The most that a form of ours holds, in bytes.
const FORM_BYTES: usize = 8 * 1024;

/// What every request needs.
struct Page {
    pool: PgPool,
    forms: FormToken,
}

type Shared = axum::extract::State<Arc<Page>>;

/// The page's routes, or a sentence where nobody may see it.
pub(super) fn router(config: &AdminConfig, pool: PgPool) -> Router {
    let Some(access) = Access::of(config) else {
        tracing::warn!(
            "no operator's page: ADMIN_ADDR is not a loopback address, and ADMIN_TOKEN is not set"
        );
        let why = "the operator's page is not served: ADMIN_ADDR is not a loopback address, and ADMIN_TOKEN is not set\n";
        return Router::new().route("/", get(async move || (StatusCode::NOT_FOUND, why)));
    };
    let page = Page {
        pool,
        forms: FormToken::random(),
    };
    Router::new()
        .route("/", get(overview::overview))
        .route("/dead", get(dead::dead))
        .route("/jobs/{id}", get(job::job))
        .route("/messages", get(messages::messages))
        .route("/change", post(change::change))
        .route("/page.css", get(style))
        .layer(DefaultBodyLimit::max(FORM_BYTES))
        .layer(middleware::from_fn_with_state(
            Arc::new(access),
            guard::guard,
        ))
        .with_state(Arc::new(page))
}

async fn style() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
        include_str!("page.css"),
    )
}

/// What stands behind the `?`, or in a form.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    fn of(RawQuery(query): RawQuery) -> Self {
        Self::parse(query.unwrap_or_default().as_bytes())
    }

    /// The field's text, unless it is empty.
    fn get(&self, name: &str) -> Option<&str> {
        let field = self.0.iter().find(|(of, _)| of == name);
        field
            .map(|(_, value)| value.trim())
            .filter(|v| !v.is_empty())
    }
}

/// Why there is no page.
enum PageError {
    /// There is no such thing.
    NotFound(String),
    /// The form is not one of ours.
    Refused(&'static str),
    /// The form makes no sense.
    Form(&'static str),
    /// The database does not answer, or not as it should.
    Database(String),
}

impl From<AdminError> for PageError {
    fn from(error: AdminError) -> Self {
        tracing::warn!(%error, "the operator's page got no answer");
        Self::Database(error.to_string())
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "the operator's page got no answer");
        Self::Database(error.to_string())
    }
}

impl From<sqlx::Error> for PageError {
    fn from(error: sqlx::Error) -> Self {
        Self::from(AdminError::from(error))
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let (status, title, text) = match self {
            Self::NotFound(text) => (StatusCode::NOT_FOUND, "Not found", text),
            Self::Refused(text) => (StatusCode::FORBIDDEN, "Refused", text.to_owned()),
            Self::Form(text) => (StatusCode::BAD_REQUEST, "Not understood", text.to_owned()),
            Self::Database(text) => (StatusCode::SERVICE_UNAVAILABLE, "No answer", text),
        };
        let content = html! {
            p { (text) }
            p { a href="/" { "To the overview" } }
        };
        (status, answer(layout::frame(title, None, None, &content))).into_response()
    }
}

type Answer = Result<Html<String>, PageError>;

/// A page as an answer.
fn answer(markup: Markup) -> Html<String> {
    Html(markup.into_string())
}
