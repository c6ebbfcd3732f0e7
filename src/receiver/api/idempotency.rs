//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a repeat of a request gets the
//! response of the first request, and has no effect of its own.
//!
//! Responses are stored for requests that had an effect. A request that was refused without an
//! effect may be sent again with the same key.

use axum::{
    body::Bytes,
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, Method, StatusCode, request::Parts},
};
use sqlx::PgConnection;
use store::{
    Keyring,
    idempotency_keys::{self, KeyState},
};
use uuid::Uuid;

use super::{error::ApiError, response::ApiResponse};

/// The header that holds the key.
pub(super) const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

const MAX_KEY: usize = 255;

/// The key that a client gave its request. Handlers take it as a `Result`: a wrong key is reported
/// after what is wrong with the body.
pub(super) struct IdempotencyKey {
    /// `None` if the client gave no key. Then no request is a repeat.
    key: Option<String>,
    method: Method,
    path: String,
}

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Ok(Self {
            key: key_of(&parts.headers)?,
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
        })
    }
}

impl IdempotencyKey {
    /// The request with this key and body.
    pub(super) fn with_body(self, body: &Bytes) -> RepeatableRequest {
        let line = format!("{} {}\n", self.method, self.path);
        RepeatableRequest {
            key: self.key,
            request: [line.as_bytes(), body].concat(),
        }
    }
}

/// A request whose repeats get its response.
pub(super) struct RepeatableRequest {
    key: Option<String>,
    /// What must be equal in a repeat: method, path and body.
    request: Vec<u8>,
}

impl RepeatableRequest {
    /// The response that an earlier request with this key got. If there was none, the key is
    /// reserved until the transaction ends.
    pub(super) async fn earlier_response(
        &self,
        conn: &mut PgConnection,
        keyring: &Keyring,
        user: Uuid,
    ) -> Result<Option<ApiResponse>, ApiError> {
        let Some(key) = &self.key else {
            return Ok(None);
        };
        match idempotency_keys::reserve(conn, keyring, user, key, &self.request).await? {
            KeyState::New => Ok(None),
            KeyState::Before { status, body } => {
                let status = StatusCode::from_u16(status).map_err(|_| ApiError::StoredResponse)?;
                Ok(Some(ApiResponse::repeated(status, body)))
            }
            KeyState::ForAnother => Err(ApiError::IdempotencyKeyReused),
        }
    }

    /// Stores the response for repeats.
    pub(super) async fn store_response(
        &self,
        conn: &mut PgConnection,
        keyring: &Keyring,
        user: Uuid,
        response: &ApiResponse,
    ) -> Result<(), ApiError> {
        if let Some(key) = &self.key {
            let status = response.status.as_u16();
            idempotency_keys::store_response(conn, keyring, user, key, status, &response.body)
                .await?;
        }
        Ok(())
    }
}

/// The one key of a request's headers.
fn key_of(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut lines = headers.get_all(HEADER).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(line), None) => {
            let key = line.to_str().ok().and_then(parse_key);
            Ok(Some(key.ok_or(ApiError::IdempotencyKey)?))
        }
        (Some(_), Some(_)) => Err(ApiError::IdempotencyKey),
    }
}

/// Parses a structured-header string, as the draft defines it, or the bare key that most clients
/// send.
fn parse_key(line: &str) -> Option<String> {
    let line = line.trim();
    let bare = line
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(line);
    let good = (1..=MAX_KEY).contains(&bare.len())
        && bare
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"\"\\".contains(&b));
    good.then(|| bare.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_visible_ascii_with_or_without_quotes() {
        for good in ["a", "\"a\"", " a ", "8e03978e-40d5-43dd-bc93-6894a57f9324"] {
            assert!(parse_key(good).is_some(), "{good:?}");
        }
        assert_eq!(parse_key("\"a\""), parse_key("a"));
        assert!(parse_key(&"a".repeat(255)).is_some());
        for bad in [
            "",
            "\"\"",
            "\"",
            "a b",
            "\"a",
            "a\"b",
            "a\\b",
            "a\u{e9}",
            &"a".repeat(256),
        ] {
            assert!(parse_key(bad).is_none(), "{bad:?}");
        }
    }
}
