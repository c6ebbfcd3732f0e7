//! HTTP answers in the format of Twilio's API.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use serde_json::{Value, json};
use twilio::AccountSid;

use crate::{received::ReceivedText, send_state::AcceptedMessage};

/// Marks an answer that the server must not send: it closes the connection instead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DropConnection;

/// Closes the connection without an answer.
pub(crate) fn drop_connection() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(DropConnection);
    response
}

/// 204.
pub(crate) fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A JSON answer.
pub(crate) fn json(status: u16, body: &Value) -> Response<Body> {
    text(status, "application/json;charset=utf-8", body.to_string())
}

/// An answer of any content type.
pub(crate) fn text(status: u16, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

/// One of Twilio's errors. Its message has Twilio's meaning, not Twilio's exact words.
pub(crate) fn error(status: u16, code: u32) -> Response<Body> {
    let message = match code {
        20003 => "Authenticate",
        20009 => "Delete failed because the message is still in progress",
        20404 => "The requested resource was not found",
        20429 => "Too many requests",
        20500 => "An internal server error has occurred",
        21211 => "The 'To' number is not a valid phone number",
        21212 => "The 'From' number is not a valid phone number, shortcode or sender",
        21408 => "Permission to send an SMS has not been enabled for the region of the 'To' number",
        21602 => "Message body is required",
        21603 => "A 'From' number or a Messaging Service is required",
        21604 => "A 'To' phone number is required",
        21606 => {
            "The 'From' number is not one of your phone numbers that can send to the 'To' number"
        }
        21609 => "The 'StatusCallback' URL is not a valid URL",
        21610 => "Attempt to send to unsubscribed recipient",
        21611 => "This 'From' number has exceeded the maximum number of queued messages",
        21612 => "The 'To' number is not reachable by SMS from the 'From' number",
        21614 => "The 'To' number is not a mobile number",
        21617 => "The message body exceeds the limit of 1600 characters",
        21701 => "The Messaging Service does not exist",
        _ => "Error",
    };
    let more = format!("https://www.twilio.com/docs/errors/{code}");
    let body = json!({ "code": code, "message": message, "more_info": more, "status": status });
    json(status, &body)
}

/// 429.
pub(crate) fn throttled(retry_after: Option<u64>) -> Response<Body> {
    let mut answer = error(429, 20429);
    if let Some(seconds) = retry_after {
        answer.headers_mut().insert("retry-after", seconds.into());
    }
    answer
}

/// 401, which asks for credentials.
pub(crate) fn unauthorized() -> Response<Body> {
    let mut answer = error(401, 20003);
    let realm = HeaderValue::from_static("Basic realm=\"Twilio API\"");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
    answer
}

/// The JSON of a message from a person.
pub(crate) fn received(account: &AccountSid, text: &ReceivedText) -> Value {
    let uri = format!("/2010-04-01/Accounts/{account}/Messages/{}", text.sid);
    let date = text.at.to_rfc2822();
    let service = text.parameter("MessagingServiceSid");
    json!({
        "account_sid": account.as_str(),
        "api_version": "2010-04-01",
        "body": text.body(),
        "date_created": date,
        "date_sent": date,
        "date_updated": date,
        "direction": "inbound",
        "error_code": null,
        "error_message": null,
        "from": text.parameter("From"),
        "messaging_service_sid": (!service.is_empty()).then_some(service),
        "num_media": text.media.len().to_string(),
        "num_segments": text.parameter("NumSegments"),
        "price": null,
        "price_unit": "USD",
        "sid": text.sid,
        "status": "received",
        "subresource_uris": { "media": format!("{uri}/Media.json") },
        "to": text.parameter("To"),
        "uri": format!("{uri}.json"),
    })
}

/// The JSON of a message to a person.
pub(crate) fn message(account: &AccountSid, message: &AcceptedMessage) -> Value {
    let uri = format!("/2010-04-01/Accounts/{account}/Messages/{}", message.sid);
    let created = message.at.to_rfc2822();
    json!({
        "account_sid": account.as_str(),
        "api_version": "2010-04-01",
        "body": message.body,
        "date_created": created,
        "date_sent": message.sent.map(|at| at.to_rfc2822()),
        "date_updated": created,
        "direction": "outbound-api",
        "error_code": message.error_code,
        "error_message": null,
        "from": message.from,
        "messaging_service_sid": message.messaging_service,
        "num_media": "0",
        "num_segments": segments(&message.body).to_string(),
        "price": null,
        "price_unit": "USD",
        "sid": message.sid,
        "status": message.status,
        "subresource_uris": { "media": format!("{uri}/Media.json") },
        "to": message.to,
        "uri": format!("{uri}.json"),
    })
}

/// The number of SMS segments of a text. It treats every text beyond ASCII as beyond GSM-7, which
/// is wrong for a few letters.
fn segments(body: &str) -> usize {
    let (whole, part) = if body.is_ascii() {
        (160, 153)
    } else {
        (70, 67)
    };
    let units = body.encode_utf16().count();
    if units <= whole {
        1
    } else {
        units.div_ceil(part)
    }
}
