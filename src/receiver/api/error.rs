//! Why a request was refused: each reason's HTTP status, body, metric label and log line in one
//! place.
//!
//! Where the app's front end knows a reason by its code, the body has the app's shape, `{"error",
//! "code"}`. Every other body is a problem (RFC 9457). No body holds more than the reason, and none
//! quotes the request.

use std::{sync::Arc, time::Duration};

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use queue::EnqueueError;
use serde::Serialize;
use store::StoreError;

use super::{
    number::NumberError,
    schema::{ApiRefusal, Problem, RateLimited, RefusalCode, Unauthorized},
};
use crate::error_chain::ErrorChain;

/// The text of a reason is the body's sentence or a problem's detail, and goes into the log. A text
/// whose status is 500 goes into the log only.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("No authorization header provided")]
    NoAuthorization,
    #[error("Invalid authorization header format")]
    AuthorizationFormat,
    #[error("Invalid token")]
    InvalidToken(&'static str),
    #[error("The keys that tokens are checked with could not be read yet")]
    KeysUnavailable,
    #[error("Phone number is required")]
    MissingPhoneNumber,
    #[error("{0}")]
    InvalidPhoneNumber(#[from] NumberError),
    #[error("Verification codes cannot be sent to numbers of this country")]
    CountryNotAllowed,
    #[error("User already has a different phone number linked")]
    HasDifferentPhone,
    #[error("Phone number and verification code are required")]
    MissingFields,
    #[error("Verification code must be 6 digits")]
    InvalidCodeFormat,
    #[error("Invalid or expired verification code")]
    VerificationFailed,
    #[error("No phone number linked to this account")]
    PhoneNumberNotFound,
    #[error("Too many requests. Try again later")]
    RateLimited { limit: &'static str, wait: Duration },
    #[error("A code was sent a moment ago. Wait before asking for another one")]
    ResendTooSoon { wait: Duration },
    #[error("The content type must be application/json")]
    MediaType,
    #[error("The body must have 16 KiB at most")]
    TooLarge,
    #[error("The body took longer than 5 s")]
    TooSlow,
    #[error("The body ended early")]
    CutOff,
    #[error("The body is no JSON")]
    NotJson,
    #[error("Idempotency-Key must be one key of 1 to 255 visible ASCII characters")]
    IdempotencyKey,
    #[error("This Idempotency-Key was used for another request")]
    IdempotencyKeyReused,
    #[error("This path has no such method; the Allow header lists those it has")]
    MethodNotAllowed,
    #[error("Route not found")]
    NotFound,
    #[error("The database did not answer in time")]
    DatabaseSlow,
    #[error("the database failed")]
    Store(#[source] StoreError),
    #[error("the job could not be written: {0}")]
    Enqueue(EnqueueError),
    #[error("a response could not be written or read back; this is a bug, please report it")]
    StoredResponse,
    #[error("the number does not open: its key is missing")]
    NumberDoesNotOpen,
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::UserGone { .. } => Self::InvalidToken("user_gone"),
            error => Self::Store(error),
        }
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<EnqueueError> for ApiError {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Database(error) => error.into(),
            EnqueueError::Args { .. } => Self::Enqueue(error),
        }
    }
}

impl ApiError {
    /// The HTTP status.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoAuthorization | Self::AuthorizationFormat | Self::InvalidToken(_) => {
                StatusCode::UNAUTHORIZED
            }
            Self::MissingPhoneNumber
            | Self::InvalidPhoneNumber(_)
            | Self::CountryNotAllowed
            | Self::MissingFields
            | Self::InvalidCodeFormat
            | Self::VerificationFailed
            | Self::CutOff
            | Self::NotJson
            | Self::IdempotencyKey => StatusCode::BAD_REQUEST,
            Self::HasDifferentPhone => StatusCode::CONFLICT,
            Self::PhoneNumberNotFound | Self::NotFound => StatusCode::NOT_FOUND,
            Self::RateLimited { .. } | Self::ResendTooSoon { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::KeysUnavailable | Self::DatabaseSlow => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(error) if error.is_unavailable() => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(_) | Self::Enqueue(_) | Self::StoredResponse | Self::NumberDoesNotOpen => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// The metric label.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::NoAuthorization => "no_authorization",
            Self::AuthorizationFormat => "authorization_format",
            Self::InvalidToken(_) => "invalid_token",
            Self::KeysUnavailable => "keys_unavailable",
            Self::MissingPhoneNumber => "missing_phone_number",
            Self::InvalidPhoneNumber(_) => "invalid_phone_number",
            Self::CountryNotAllowed => "country_not_allowed",
            Self::HasDifferentPhone => "has_different_phone",
            Self::MissingFields => "missing_fields",
            Self::InvalidCodeFormat => "invalid_code_format",
            Self::VerificationFailed => "verification_failed",
            Self::PhoneNumberNotFound => "phone_number_not_found",
            Self::RateLimited { .. } => "rate_limited",
            Self::ResendTooSoon { .. } => "resend_too_soon",
            Self::MediaType => "media_type",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::CutOff => "cut_off",
            Self::NotJson => "not_json",
            Self::IdempotencyKey => "idempotency_key",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotFound => "not_found",
            Self::DatabaseSlow => "database_slow",
            Self::Store(error) => error.label(),
            Self::Enqueue(_) => "args",
            Self::StoredResponse => "kept_answer",
            Self::NumberDoesNotOpen => "number_does_not_open",
        }
    }

    /// The code by which the app's front end knows the reason.
    fn code(&self) -> Option<RefusalCode> {
        match self {
            Self::MissingPhoneNumber => Some(RefusalCode::MissingPhoneNumber),
            Self::InvalidPhoneNumber(_) => Some(RefusalCode::InvalidPhoneNumber),
            Self::CountryNotAllowed => Some(RefusalCode::CountryNotAllowed),
            Self::HasDifferentPhone => Some(RefusalCode::UserHasDifferentPhone),
            Self::MissingFields => Some(RefusalCode::MissingFields),
            Self::InvalidCodeFormat => Some(RefusalCode::InvalidCodeFormat),
            Self::VerificationFailed => Some(RefusalCode::VerificationFailed),
            Self::PhoneNumberNotFound => Some(RefusalCode::PhoneNumberNotFound),
            Self::NotFound => Some(RefusalCode::NotFound),
            Self::RateLimited { .. } | Self::ResendTooSoon { .. } => Some(RefusalCode::RateLimited),
            Self::Store(error) if error.is_unavailable() => None,
            Self::Store(_) | Self::Enqueue(_) | Self::StoredResponse | Self::NumberDoesNotOpen => {
                Some(RefusalCode::InternalError)
            }
            Self::NoAuthorization
            | Self::AuthorizationFormat
            | Self::InvalidToken(_)
            | Self::KeysUnavailable
            | Self::MediaType
            | Self::TooLarge
            | Self::TooSlow
            | Self::CutOff
            | Self::NotJson
            | Self::IdempotencyKey
            | Self::IdempotencyKeyReused
            | Self::MethodNotAllowed
            | Self::DatabaseSlow => None,
        }
    }

    /// The limit that refused the request, for metrics.
    pub(super) fn limit(&self) -> Option<&'static str> {
        match self {
            Self::RateLimited { limit, .. } => Some(limit),
            Self::ResendTooSoon { .. } => Some("resend_delay"),
            _ => None,
        }
    }

    /// Writes the log line.
    pub(super) fn log(&self) {
        let (reason, status) = (self.label(), self.status().as_u16());
        if self.status().is_server_error() {
            tracing::error!(
                reason,
                status,
                error = %ErrorChain(self),
                "request not carried out"
            );
        } else if let Self::InvalidToken(why) = self {
            tracing::info!(reason, status, why, "request refused");
        } else {
            tracing::info!(reason, status, limit = self.limit(), "request refused");
        }
    }

    /// The body in the app's shape.
    pub(super) fn refusal(&self, code: RefusalCode) -> ApiRefusal {
        let error = match code {
            RefusalCode::InternalError => "An unexpected error occurred".to_owned(),
            _ => self.to_string(),
        };
        ApiRefusal { error, code }
    }

    fn body(&self) -> Response {
        match (self, self.code()) {
            (Self::NoAuthorization | Self::AuthorizationFormat | Self::InvalidToken(_), _) => {
                let error = self.to_string();
                json("application/json", &Unauthorized { error })
            }
            (Self::RateLimited { wait, .. } | Self::ResendTooSoon { wait }, Some(code)) => {
                let body = RateLimited {
                    error: self.to_string(),
                    code,
                    retry_after: whole_seconds(*wait),
                };
                json("application/json", &body)
            }
            (_, Some(code)) => json("application/json", &self.refusal(code)),
            (_, None) => {
                let status = self.status();
                let detail = match self {
                    Self::Store(_) => "The database is away".to_owned(),
                    _ => self.to_string(),
                };
                let problem = Problem {
                    r#type: "about:blank".to_owned(),
                    title: status.canonical_reason().unwrap_or("Error").to_owned(),
                    status: status.as_u16(),
                    detail,
                };
                json("application/problem+json", &problem)
            }
        }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        match self {
            Self::RateLimited { wait, .. } | Self::ResendTooSoon { wait } => {
                headers.insert(header::RETRY_AFTER, whole_seconds(*wait).into());
            }
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ if self.status() == StatusCode::UNAUTHORIZED => {
                let bearer = HeaderValue::from_static("Bearer");
                headers.insert(header::WWW_AUTHENTICATE, bearer);
            }
            _ => {}
        }
        headers
    }
}

/// Rounded up, so that a client that waits this long is not refused again.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

fn json(media_type: &'static str, body: &impl Serialize) -> Response {
    let bytes = serde_json::to_vec(body).unwrap_or_default(); // JSON can hold every text and number
    let media_type = HeaderValue::from_static(media_type);
    ([(header::CONTENT_TYPE, media_type)], bytes).into_response()
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.headers(), self.body()).into_response();
        // The middleware logs and counts it.
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}
