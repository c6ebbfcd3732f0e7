//! Responses in JSON. Those with an idempotency key are stored for repeats.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::error::ApiError;

/// The response to a request that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiResponse {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
    /// Its label in metrics.
    pub(super) outcome: &'static str,
}

/// The label of a request that was carried out, in the extensions of its response.
#[derive(Clone, Copy)]
pub(super) struct SuccessLabel(pub(super) &'static str);

impl ApiResponse {
    pub(super) fn json(
        outcome: &'static str,
        status: StatusCode,
        body: &impl Serialize,
    ) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(body).map_err(|_| ApiError::StoredResponse)?;
        Ok(Self {
            status,
            body,
            outcome,
        })
    }

    /// A response without a body.
    pub(super) fn empty(outcome: &'static str) -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            body: Vec::new(),
            outcome,
        }
    }

    /// The stored response to the first request, for a repeat of it.
    pub(super) fn repeated(status: StatusCode, body: Vec<u8>) -> Self {
        Self {
            status,
            body,
            outcome: "repeated",
        }
    }
}

impl IntoResponse for ApiResponse {
    fn into_response(self) -> Response {
        let mut response = if self.status == StatusCode::NO_CONTENT {
            self.status.into_response()
        } else {
            let json = HeaderValue::from_static("application/json");
            (self.status, [(header::CONTENT_TYPE, json)], self.body).into_response()
        };
        response.extensions_mut().insert(SuccessLabel(self.outcome));
        response
    }
}
