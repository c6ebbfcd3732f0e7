//! What is set in Twilio's console: the account's state, and where messages to its number and messaging services are
//! sent on to. Looked at and changed through the API, as the console does.

use std::collections::BTreeMap;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Path, RawQuery, Request, State},
    http::Response,
    routing::get,
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use twilio::form;

use super::{account::Account, answers, api::Shared};
use crate::config::WEBHOOK_PATH;

/// Of a request's body, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// The SID of the account's phone number.
const NUMBER_SID: &str = "PN00000000000000000000000000000001";

/// What is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Console {
    /// `active`, `suspended` or `closed`.
    pub account_status: String,
    /// It is a trial account.
    pub trial: bool,
    /// The account's phone number.
    pub number: NumberSettings,
    /// Messaging services, by SID.
    pub services: BTreeMap<String, ServiceSettings>,
}

/// Where messages to the number go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "these are Twilio's own names")]
#[serde(deny_unknown_fields)]
pub struct NumberSettings {
    pub sms_url: String,
    pub sms_method: String,
    pub sms_fallback_url: String,
    pub sms_fallback_method: String,
    pub sms_application_sid: String,
    /// It can send and receive text messages.
    pub sms: bool,
}

/// Where messages to a messaging service's numbers go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "these are Twilio's own names")]
#[serde(default, deny_unknown_fields)]
pub struct ServiceSettings {
    pub inbound_request_url: String,
    pub inbound_method: String,
    pub fallback_url: String,
    pub fallback_method: String,
    pub use_inbound_webhook_on_number: bool,
    /// The account's number is one of its own.
    pub has_number: bool,
}

impl Console {
    /// As an account is that somebody has set up well.
    pub(super) fn of(account: &Account) -> Self {
        let webhook = format!("{}{WEBHOOK_PATH}#rc=3&rp=all", account.public_base_url);
        Self {
            account_status: "active".to_owned(),
            trial: false,
            number: NumberSettings {
                sms_url: webhook.clone(),
                sms_method: "POST".to_owned(),
                sms_fallback_url: webhook,
                sms_fallback_method: "POST".to_owned(),
                sms_application_sid: String::new(),
                sms: true,
            },
            services: BTreeMap::new(),
        }
    }
}

/// Part of an account's routes.
pub(super) fn of_account() -> Router<Shared> {
    Router::new()
        .route("/IncomingPhoneNumbers.json", get(numbers))
        .route(
            "/IncomingPhoneNumbers/{file}",
            get(number).post(change_number),
        )
}

/// What is elsewhere at Twilio, on `messaging.twilio.com`.
pub(super) fn messaging() -> Router<Shared> {
    Router::new()
        .route("/v1/Services/{sid}", get(service).post(change_service))
        .route(
            "/v1/Services/{sid}/PhoneNumbers/{number}",
            get(service_number),
        )
}

/// The account itself.
pub(super) async fn account(State(api): State<Shared>) -> Response<Body> {
    let console = api.ledger.look(|state| state.console.clone());
    let sid = &api.account.sid;
    answers::json(
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

fn shown(api: &Shared) -> Value {
    let number = api.ledger.look(|state| state.console.number.clone());
    let account = &api.account.sid;
    json!({
        "sid": NUMBER_SID,
        "account_sid": account.as_str(),
        "phone_number": api.account.number,
        "capabilities": { "sms": number.sms, "mms": number.sms, "voice": true, "fax": false },
        "sms_url": number.sms_url,
        "sms_method": number.sms_method,
        "sms_fallback_url": number.sms_fallback_url,
        "sms_fallback_method": number.sms_fallback_method,
        "sms_application_sid": number.sms_application_sid,
        "uri": format!("/2010-04-01/Accounts/{account}/IncomingPhoneNumbers/{NUMBER_SID}.json"),
    })
}

/// Those of which the wanted one is a part, as Twilio does.
async fn numbers(State(api): State<Shared>, RawQuery(query): RawQuery) -> Response<Body> {
    let query = form::parse(query.unwrap_or_default().as_bytes(), 20).unwrap_or_default();
    let wanted = query.iter().find(|(name, _)| name == "PhoneNumber");
    let there = wanted.is_none_or(|(_, part)| api.account.number.contains(part.as_str()));
    let numbers = if there { vec![shown(&api)] } else { Vec::new() };
    let body = json!({ "incoming_phone_numbers": numbers, "page": 0, "next_page_uri": null });
    answers::json(200, &body)
}

fn is_number(file: &str) -> bool {
    file.strip_suffix(".json") == Some(NUMBER_SID)
}

async fn number(
    State(api): State<Shared>,
    Path((_, file)): Path<(String, String)>,
) -> Response<Body> {
    if is_number(&file) {
        answers::json(200, &shown(&api))
    } else {
        answers::error(404, 20404)
    }
}

async fn change_number(
    State(api): State<Shared>,
    Path((_, file)): Path<(String, String)>,
    request: Request,
) -> Response<Body> {
    if !is_number(&file) {
        return answers::error(404, 20404);
    }
    let Some(fields) = fields(request).await else {
        return answers::error(400, 20001);
    };
    let mut number = api.ledger.look(|state| state.console.number.clone());
    for (name, value) in fields {
        let (place, right) = match name.as_str() {
            "SmsUrl" => (&mut number.sms_url, is_url(&value)),
            "SmsMethod" => (&mut number.sms_method, is_method(&value)),
            "SmsFallbackUrl" => (&mut number.sms_fallback_url, is_url(&value)),
            "SmsFallbackMethod" => (&mut number.sms_fallback_method, is_method(&value)),
            "SmsApplicationSid" => (&mut number.sms_application_sid, true),
            _ => continue,
        };
        if !right {
            return answers::error(400, 21502);
        }
        *place = value;
    }
    api.ledger.change(|state| state.console.number = number);
    answers::json(200, &shown(&api))
}

async fn service(State(api): State<Shared>, Path(sid): Path<String>) -> Response<Body> {
    let service = api
        .ledger
        .look(|state| state.console.services.get(&sid).cloned());
    let Some(service) = service else {
        return answers::error(404, 20404);
    };
    let or_null = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    answers::json(
        200,
        &json!({
            "sid": sid,
            "account_sid": api.account.sid.as_str(),
            "friendly_name": "simulated",
            "inbound_request_url": or_null(&service.inbound_request_url),
            "inbound_method": service.inbound_method,
            "fallback_url": or_null(&service.fallback_url),
            "fallback_method": service.fallback_method,
            "use_inbound_webhook_on_number": service.use_inbound_webhook_on_number,
        }),
    )
}

async fn service_number(
    State(api): State<Shared>,
    Path((sid, number)): Path<(String, String)>,
) -> Response<Body> {
    let has = api.ledger.look(|state| {
        let service = state.console.services.get(&sid);
        service.is_some_and(|service| service.has_number)
    });
    if has && number == NUMBER_SID {
        let body = json!({ "sid": number, "service_sid": sid, "phone_number": api.account.number });
        answers::json(200, &body)
    } else {
        answers::error(404, 20404)
    }
}

async fn change_service(
    State(api): State<Shared>,
    Path(sid): Path<String>,
    request: Request,
) -> Response<Body> {
    let Some(fields) = fields(request).await else {
        return answers::error(400, 20001);
    };
    let there = api.ledger.change(|state| {
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
    if there {
        self::service(State(api), Path(sid)).await
    } else {
        answers::error(404, 20404)
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
