//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a repeat of a request is answered as the request was,
//! and has no effect of its own.
//!
//! Kept are answers to requests that had an effect. What was refused before anything happened may be asked anew.

use axum::{
    body::Bytes,
    http::{HeaderName, StatusCode},
};
use sqlx::PgConnection;
use store::{
    Keyring,
    idempotency_keys::{self, Seen},
};
use uuid::Uuid;

use super::{answer::Answer, call::Call, error::ApiError};

pub(super) const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

const LONGEST: usize = 255;

/// A request as far as repeats of it go.
pub(super) struct Repeat {
    /// `None` if the client named no key: then each request is one of its own.
    key: Option<String>,
    request: Vec<u8>,
}

impl Repeat {
    pub(super) fn of(call: &Call, body: &Bytes) -> Result<Self, ApiError> {
        let (method, path) = (&call.head.method, call.head.uri.path());
        let mut lines = call.head.headers.get_all(HEADER).iter();
        let key = match (lines.next(), lines.next()) {
            (None, _) => None,
            (Some(line), None) => {
                let key = line.to_str().ok().and_then(key);
                Some(key.ok_or(ApiError::IdempotencyKey)?)
            }
            (Some(_), Some(_)) => return Err(ApiError::IdempotencyKey),
        };
        let request = [
            method.as_str().as_bytes(),
            b" ",
            path.as_bytes(),
            b"\n",
            body,
        ]
        .concat();
        Ok(Self { key, request })
    }

    /// The answer that the request has had before. If it had none, the key is reserved until the transaction ends.
    pub(super) async fn answered_before(
        &self,
        conn: &mut PgConnection,
        keyring: &Keyring,
        user: Uuid,
    ) -> Result<Option<Answer>, ApiError> {
        let Some(key) = &self.key else {
            return Ok(None);
        };
        match idempotency_keys::reserve(conn, keyring, user, key, &self.request).await? {
            Seen::New => Ok(None),
            Seen::Before { status, body } => {
                let status = StatusCode::from_u16(status).map_err(|_| ApiError::KeptAnswer)?;
                Ok(Some(Answer::kept(status, body)))
            }
            Seen::ForAnother => Err(ApiError::IdempotencyKeyReused),
        }
    }

    /// Keeps the answer for repeats.
    pub(super) async fn keep(
        &self,
        conn: &mut PgConnection,
        keyring: &Keyring,
        user: Uuid,
        answer: &Answer,
    ) -> Result<(), ApiError> {
        if let Some(key) = &self.key {
            let status = answer.status.as_u16();
            idempotency_keys::answered(conn, keyring, user, key, status, &answer.body).await?;
        }
        Ok(())
    }
}

/// A structured-header string, as the draft has it, or the bare key, as most clients send it.
fn key(line: &str) -> Option<String> {
    let line = line.trim();
    let bare = line
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(line);
    let good = (1..=LONGEST).contains(&bare.len())
        && bare
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"\"\\".contains(&b));
    good.then(|| bare.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_visible_ascii_quoted_or_not() {
        for good in ["a", "\"a\"", " a ", "8e03978e-40d5-43dd-bc93-6894a57f9324"] {
            assert!(key(good).is_some(), "{good:?}");
        }
        assert_eq!(key("\"a\""), key("a"));
        assert!(key(&"a".repeat(255)).is_some());
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
            assert!(key(bad).is_none(), "{bad:?}");
        }
    }
}
