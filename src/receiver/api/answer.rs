//! Answers in JSON that may be kept for repeats.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::error::ApiError;

/// An answer to a request that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
    /// Its name in metrics.
    pub(super) outcome: &'static str,
}

impl Answer {
    pub(super) fn json(
        outcome: &'static str,
        status: StatusCode,
        body: &impl Serialize,
    ) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(body).map_err(|_| ApiError::KeptAnswer)?;
        Ok(Self {
            status,
            body,
            outcome,
        })
    }

    /// Without a body.
    pub(super) fn empty(outcome: &'static str) -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            body: Vec::new(),
            outcome,
        }
    }

    /// One that was given before.
    pub(super) fn kept(status: StatusCode, body: Vec<u8>) -> Self {
        Self {
            status,
            body,
            outcome: "repeated",
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        if self.status == StatusCode::NO_CONTENT {
            return self.status.into_response();
        }
        let json = HeaderValue::from_static("application/json");
        (self.status, [(header::CONTENT_TYPE, json)], self.body).into_response()
    }
}
