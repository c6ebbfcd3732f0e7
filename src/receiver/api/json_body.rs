//! Reads a request's JSON. The bounds on size and time are checked before any other work on the
//! body.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use http_body_util::LengthLimitError;
use serde_json::Value;

use super::error::ApiError;

/// The largest body, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// How long a client may take to send its body.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// A JSON body within bounds.
pub(super) struct JsonBody {
    /// The body as it was sent.
    pub(super) bytes: Bytes,
    value: Value,
}

impl<S: Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let (head, body) = request.into_parts();
        Self::read(&head.headers, body).await
    }
}

impl JsonBody {
    async fn read(headers: &HeaderMap, body: Body) -> Result<Self, ApiError> {
        if !is_json(headers) {
            return Err(ApiError::MediaType);
        }
        let declared: Option<u64> = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse().ok());
        if declared.is_some_and(|length| length > MAX_BODY as u64) {
            return Err(ApiError::TooLarge); // before reading any of it
        }
        let bytes = tokio::time::timeout(READ_TIMEOUT, to_bytes(body, MAX_BODY))
            .await
            .map_err(|_| ApiError::TooSlow)?
            .map_err(|error| {
                let source = std::error::Error::source(&error);
                if source.is_some_and(<dyn std::error::Error>::is::<LengthLimitError>) {
                    ApiError::TooLarge
                } else {
                    ApiError::CutOff
                }
            })?;
        let value = serde_json::from_slice(&bytes).map_err(|_| ApiError::NotJson)?;
        Ok(Self { bytes, value })
    }

    /// A member that is a text and not blank.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let text = self.value.get(name)?.as_str()?;
        (!text.trim().is_empty()).then_some(text)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or("");
    media_type.trim().eq_ignore_ascii_case("application/json")
}
