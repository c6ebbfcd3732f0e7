//! The lists of messaging services and of their numbers, and the `TwiML` applications.

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::Response,
    routing::get,
};
use serde_json::{Value, json};

use crate::{
    console::{self, NUMBER_SID},
    context::SharedContext,
    responses,
};

/// The routes below the account's path.
pub(crate) fn account_routes() -> Router<SharedContext> {
    Router::new().route("/Applications/{file}", get(application))
}

/// The routes that Twilio has on `messaging.twilio.com`.
pub(crate) fn messaging_routes() -> Router<SharedContext> {
    Router::new()
        .route("/v1/Services", get(services))
        .route("/v1/Services/{sid}/PhoneNumbers", get(service_numbers))
}

async fn application(
    State(api): State<SharedContext>,
    Path((_, file)): Path<(String, String)>,
) -> Response<Body> {
    let sid = file.strip_suffix(".json").unwrap_or(&file);
    let url = api
        .state
        .read(|state| state.console.applications.get(sid).cloned());
    match url {
        Some(url) => responses::json(200, &json!({ "sid": sid, "sms_url": url })),
        None => responses::error(404, 20404),
    }
}

async fn services(State(api): State<SharedContext>) -> Response<Body> {
    let services = api.state.read(|state| state.console.services.clone());
    let list: Vec<_> = services
        .iter()
        .map(|(sid, service)| console::service_json(&api, sid, service))
        .collect();
    responses::json(200, &json!({ "services": list, "meta": meta("services") }))
}

async fn service_numbers(
    State(api): State<SharedContext>,
    Path(sid): Path<String>,
) -> Response<Body> {
    let service = api
        .state
        .read(|state| state.console.services.get(&sid).cloned());
    let Some(service) = service else {
        return responses::error(404, 20404);
    };
    let mut list = Vec::new();
    if service.has_number {
        let number = &api.account.number;
        list.push(json!({ "sid": NUMBER_SID, "service_sid": sid, "phone_number": number }));
    }
    let body = json!({ "phone_numbers": list, "meta": meta("phone_numbers") });
    responses::json(200, &body)
}

/// The paging of a list that fits on one page.
fn meta(key: &str) -> Value {
    json!({ "key": key, "page": 0, "page_size": 50, "next_page_url": null })
}
