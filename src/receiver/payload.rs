//! Checks that the request is well formed. The bounds on size and time are checked before any other
//! work on the body.

use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, header},
};
use http_body_util::LengthLimitError;
use twilio::{AccountSid, InboundWebhook, form};

use super::error::ReceiverError;

/// The largest body, in bytes. Twilio's own webhooks are a few kilobytes.
const MAX_BODY: usize = 64 * 1024;

/// The most parameters. Twilio sends about 30, plus two for each of at most ten attachments.
const MAX_PARAMETERS: usize = 200;

/// How long a client may take to send its body.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Refuses a request whose content type is not a form's.
pub(super) fn require_form(headers: &HeaderMap) -> Result<(), ReceiverError> {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or("");
    if media_type
        .trim()
        .eq_ignore_ascii_case("application/x-www-form-urlencoded")
    {
        Ok(())
    } else {
        Err(ReceiverError::MediaType)
    }
}

/// Reads and decodes the body.
pub(super) async fn read_form(
    headers: &HeaderMap,
    body: Body,
) -> Result<Vec<(String, String)>, ReceiverError> {
    let declared: Option<u64> = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse().ok());
    if declared.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(ReceiverError::TooLarge); // before reading any of it
    }
    let bytes = tokio::time::timeout(READ_TIMEOUT, to_bytes(body, MAX_BODY))
        .await
        .map_err(|_| ReceiverError::TooSlow)?
        .map_err(|error| {
            let source = std::error::Error::source(&error);
            if source.is_some_and(<dyn std::error::Error>::is::<LengthLimitError>) {
                ReceiverError::TooLarge
            } else {
                ReceiverError::CutOff
            }
        })?;
    Ok(form::parse(&bytes, MAX_PARAMETERS)?)
}

/// Parses the message of a webhook whose signature is valid, and checks that it is for our account.
pub(super) fn parse_message(
    parameters: Vec<(String, String)>,
    account: &AccountSid,
) -> Result<InboundWebhook, ReceiverError> {
    let webhook = InboundWebhook::from_fields(parameters)?;
    if webhook.account_sid() != account {
        return Err(ReceiverError::ForeignAccount);
    }
    Ok(webhook)
}
