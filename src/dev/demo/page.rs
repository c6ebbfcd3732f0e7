//! The page's files, which are part of the program, and the headers that forbid all other content.

use axum::{
    Router,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};

/// The routes of the files. Their content security policy allows connections only to this server
/// and to `receiver`.
pub(super) fn router<S: Clone + Send + Sync + 'static>(
    receiver: &str,
) -> anyhow::Result<Router<S>> {
    let policy = HeaderValue::try_from(format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self' {receiver}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ))?;
    let file = |content_type: &'static str, content: &'static str| {
        let policy = policy.clone();
        get(move || async move { answer(policy, content_type, content) })
    };
    Ok(Router::new()
        .route(
            "/",
            file("text/html; charset=utf-8", include_str!("page.html")),
        )
        .route(
            "/page.css",
            file("text/css; charset=utf-8", include_str!("page.css")),
        )
        .route(
            "/page.js",
            file("text/javascript; charset=utf-8", include_str!("page.js")),
        )
        .route(
            "/api.js",
            file("text/javascript; charset=utf-8", include_str!("api.js")),
        ))
}

fn answer(policy: HeaderValue, content_type: &'static str, content: &'static str) -> Response {
    let fixed = |value| HeaderValue::from_static(value);
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CONTENT_TYPE, fixed(content_type)),
        (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (header::REFERRER_POLICY, fixed("no-referrer")),
        (header::CACHE_CONTROL, fixed("no-store")),
    ];
    (headers, content).into_response()
}
