//! The middleware around every handler of the API: it opens the request's span, and counts and logs
//! how the request ended.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::Request,
    http::{HeaderValue, header},
    middleware::{Next, from_fn},
    response::Response,
};
use tracing::Instrument;
use utoipa_axum::router::{UtoipaMethodRouter, UtoipaMethodRouterExt};

use super::{error::ApiError, response::SuccessLabel, state::ApiState};
use crate::{metrics::receiver as metrics, receiver::trace};

/// The trace that the request's work belongs to, for handlers that enqueue jobs.
#[derive(Clone)]
pub(super) struct RequestTrace(pub(super) String);

/// Adds the middleware to the handlers of a route. `route` is its name in metrics and logs.
pub(super) fn observed(
    route: &'static str,
    handlers: UtoipaMethodRouter<Arc<ApiState>>,
) -> UtoipaMethodRouter<Arc<ApiState>> {
    let middleware = from_fn(move |request, next| observe(route, request, next));
    handlers.map(|methods| methods.route_layer(middleware))
}

async fn observe(route: &'static str, mut request: Request, next: Next) -> Response {
    let (span, trace) = trace::begin(request.headers(), |trace| {
        tracing::info_span!("api.request", route, trace, user = tracing::field::Empty)
    });
    request.extensions_mut().insert(RequestTrace(trace));
    async {
        let started = Instant::now();
        let mut response = next.run(request).await;
        let outcome = log_outcome(&mut response);
        metrics::api_request(route, outcome, started.elapsed());
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
    .instrument(span)
    .await
}

/// Logs how the request ended, and returns its label for metrics. Handlers and extractors put it
/// into the response's extensions.
fn log_outcome(response: &mut Response) -> &'static str {
    let extensions = response.extensions_mut();
    if let Some(error) = extensions.remove::<Arc<ApiError>>() {
        error.log();
        if let Some(limit) = error.limit() {
            metrics::verification_refused(limit);
        }
        return error.label();
    }
    let Some(SuccessLabel(outcome)) = extensions.remove() else {
        tracing::error!("a response has no outcome; this is a bug, please report it");
        return "unknown";
    };
    tracing::info!(outcome, "request carried out");
    outcome
}
