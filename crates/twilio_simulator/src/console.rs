//! The part of the API that shows and changes the console's settings.

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Path, RawQuery, Request, State},
    http::Response,
    routing::get,
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use twilio::form;

use crate::{
    console_settings::{NumberSettings, ServiceSettings},
    context::SharedContext,
    responses,
};

/// The longest request body, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// The SID of the account's phone number.
pub(crate) const NUMBER_SID: &str = "PN00000000000000000000000000000001";

/// The routes below the account's path.
pub(crate) fn account_routes() -> Router<SharedContext> {
    Router::new()
        .route("/IncomingPhoneNumbers.json", get(numbers))
        .route(
            "/IncomingPhoneNumbers/{file}",
            get(number).post(change_number),
        )
}

/// The routes that Twilio has on `messaging.twilio.com`.
pub(crate) fn messaging_routes() -> Router<SharedContext> {
    Router::new()
        .route("/v1/Services/{sid}", get(service).post(change_service))
        .route(
            "/v1/Services/{sid}/PhoneNumbers/{number}",
            get(service_number),
        )
}

/// Returns the account itself.
pub(crate) async fn account(State(api): State<SharedContext>) -> Response<Body> {
    let console = api.state.read(|state| state.console.clone());
    let sid = &api.account.sid;
    responses::json(
        200,
        &json!({
            "sid": sid.as_str(),
            "owner_account_sid": sid.as_str(),
            "friendly_name": "simulated",
            "status": console.account_status,
            "type": if console.trial { "Trial" } else { "Full" },
            "auth_token": api.account.auth_token.expose_secret(),
            "uri": format!("/2010-04-01/Accounts/{sid}.json"),
        }),
    )
}

fn number_json(api: &SharedContext) -> Value {
    let number = api.state.read(|state| state.console.number.clone());
    json_of(api, NUMBER_SID, &api.account.number, &number)
}

fn json_of(api: &SharedContext, sid: &str, phone_number: &str, number: &NumberSettings) -> Value {
    let account = &api.account.sid;
    json!({
        "sid": sid,
        "account_sid": account.as_str(),
        "phone_number": phone_number,
        "capabilities": { "sms": number.sms, "mms": number.sms, "voice": true, "fax": false },
        "sms_url": number.sms_url,
        "sms_method": number.sms_method,
        "sms_fallback_url": number.sms_fallback_url,
        "sms_fallback_method": number.sms_fallback_method,
        "sms_application_sid": number.sms_application_sid,
        "uri": format!("/2010-04-01/Accounts/{account}/IncomingPhoneNumbers/{sid}.json"),
    })
}

/// Lists the numbers that contain the `PhoneNumber` of the query, as Twilio does.
async fn numbers(State(api): State<SharedContext>, RawQuery(query): RawQuery) -> Response<Body> {
    api.state.update(|state| state.requests.numbers += 1);
    let query = form::parse(query.unwrap_or_default().as_bytes(), 20).unwrap_or_default();
    let wanted = query.iter().find(|(name, _)| name == "PhoneNumber");
    let matches = |number: &str| wanted.is_none_or(|(_, part)| number.contains(part.as_str()));
    let others = api.state.read(|state| state.console.other_numbers.clone());
    let mut numbers = Vec::new();
    if matches(&api.account.number) {
        numbers.push(number_json(&api));
    }
    for (n, (number, settings)) in (2..).zip(&others) {
        if matches(number) {
            numbers.push(json_of(&api, &format!("PN{n:032}"), number, settings));
        }
    }
    let body = json!({ "incoming_phone_numbers": numbers, "page": 0, "next_page_uri": null });
    responses::json(200, &body)
}

fn is_number(file: &str) -> bool {
    file.strip_suffix(".json") == Some(NUMBER_SID)
}

async fn number(
    State(api): State<SharedContext>,
    Path((_, file)): Path<(String, String)>,
) -> Response<Body> {
    if is_number(&file) {
        responses::json(200, &number_json(&api))
    } else {
        responses::error(404, 20404)
    }
}

async fn change_number(
    State(api): State<SharedContext>,
    Path((_, file)): Path<(String, String)>,
    request: Request,
) -> Response<Body> {
    if !is_number(&file) {
        return responses::error(404, 20404);
    }
    let Some(fields) = fields(request).await else {
        return responses::error(400, 20001);
    };
    let mut number = api.state.read(|state| state.console.number.clone());
    for (name, value) in fields {
        let (field, is_valid) = match name.as_str() {
            "SmsUrl" => (&mut number.sms_url, is_url(&value)),
            "SmsMethod" => (&mut number.sms_method, is_method(&value)),
            "SmsFallbackUrl" => (&mut number.sms_fallback_url, is_url(&value)),
            "SmsFallbackMethod" => (&mut number.sms_fallback_method, is_method(&value)),
            "SmsApplicationSid" => (&mut number.sms_application_sid, true),
            _ => continue,
        };
        if !is_valid {
            return responses::error(400, 21502);
        }
        *field = value;
    }
    api.state.update(|state| state.console.number = number);
    responses::json(200, &number_json(&api))
}

async fn service(State(api): State<SharedContext>, Path(sid): Path<String>) -> Response<Body> {
    let service = api
        .state
        .read(|state| state.console.services.get(&sid).cloned());
    let Some(service) = service else {
        return responses::error(404, 20404);
    };
    responses::json(200, &service_json(&api, &sid, &service))
}

/// The JSON of a messaging service.
pub(crate) fn service_json(api: &SharedContext, sid: &str, service: &ServiceSettings) -> Value {
    let or_null = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "sid": sid,
        "account_sid": api.account.sid.as_str(),
        "friendly_name": "simulated",
        "inbound_request_url": or_null(&service.inbound_request_url),
        "inbound_method": service.inbound_method,
        "fallback_url": or_null(&service.fallback_url),
        "fallback_method": service.fallback_method,
        "use_inbound_webhook_on_number": service.use_inbound_webhook_on_number,
    })
}

async fn service_number(
    State(api): State<SharedContext>,
    Path((sid, number)): Path<(String, String)>,
) -> Response<Body> {
    let has = api.state.read(|state| {
        let service = state.console.services.get(&sid);
        service.is_some_and(|service| service.has_number)
    });
    if has && number == NUMBER_SID {
        let body = json!({ "sid": number, "service_sid": sid, "phone_number": api.account.number });
        responses::json(200, &body)
    } else {
        responses::error(404, 20404)
    }
}

async fn change_service(
    State(api): State<SharedContext>,
    Path(sid): Path<String>,
    request: Request,
) -> Response<Body> {
    let Some(fields) = fields(request).await else {
        return responses::error(400, 20001);
    };
    let exists = api.state.update(|state| {
        let Some(service) = state.console.services.get_mut(&sid) else {
            return false;
        };
        for (name, value) in fields {
            match name.as_str() {
                "InboundRequestUrl" => service.inbound_request_url = value,
                "InboundMethod" => service.inbound_method = value,
                "FallbackUrl" => service.fallback_url = value,
                "FallbackMethod" => service.fallback_method = value,
                "UseInboundWebhookOnNumber" => {
                    service.use_inbound_webhook_on_number = value == "true";
                }
                _ => {}
            }
        }
        true
    });
    if exists {
        self::service(State(api), Path(sid)).await
    } else {
        responses::error(404, 20404)
    }
}

async fn fields(request: Request) -> Option<Vec<(String, String)>> {
    let body = to_bytes(request.into_body(), MAX_BODY).await.ok()?;
    form::parse(&body, 200).ok()
}

fn is_url(text: &str) -> bool {
    text.is_empty() || url::Url::parse(text).is_ok_and(|url| url.has_host())
}

fn is_method(text: &str) -> bool {
    matches!(text, "GET" | "POST")
}
