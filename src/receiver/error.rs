//! Why a webhook was refused: each reason's HTTP status, metric label and log line in one place.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use queue::EnqueueError;
use store::StoreError;
use twilio::{PayloadError, diagnosis::Mistake, form::FormError, signature::InvalidSignature};

use crate::{error_chain::ErrorChain, metrics::receiver::ShedReason};

/// Responses never hold these texts, and these texts never quote the request.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReceiverError {
    #[error("the content type is not application/x-www-form-urlencoded")]
    MediaType,
    #[error("the body is larger than 64 KiB")]
    TooLarge,
    #[error("the body took longer than 5 s")]
    TooSlow,
    #[error("the body ended early")]
    CutOff,
    #[error("the body is not a form: {0}")]
    Form(#[from] FormError),
    #[error("there is no X-Twilio-Signature header")]
    SignatureMissing,
    #[error("{invalid}")]
    Signature {
        invalid: InvalidSignature,
        mistake: Option<Mistake>,
    },
    #[error("the AccountSid is not TWILIO_ACCOUNT_SID")]
    ForeignAccount,
    #[error("the parameters are not those of a Twilio webhook: {0}")]
    Payload(#[from] PayloadError),
    #[error("too many messages wait for the database")]
    Shed,
    #[error("the database took too long")]
    DatabaseSlow,
    #[error("the task that writes messages has ended; this is a bug, please report it")]
    WriterGone,
    #[error("the message could not be stored")]
    Store(#[from] StoreError),
    #[error("the job could not be written: {0}")]
    Args(EnqueueError),
}

impl From<EnqueueError> for ReceiverError {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Database(error) => Self::Store(StoreError::from(error)),
            EnqueueError::Args { .. } => Self::Args(error),
        }
    }
}

impl ReceiverError {
    /// The HTTP status.
    fn status(&self) -> StatusCode {
        match self {
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::CutOff | Self::Form(_) | Self::Payload(_) => StatusCode::BAD_REQUEST,
            Self::SignatureMissing | Self::Signature { .. } | Self::ForeignAccount => {
                StatusCode::FORBIDDEN
            }
            Self::Shed | Self::DatabaseSlow | Self::WriterGone | Self::Store(_) | Self::Args(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// The metric label.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::MediaType => "media_type",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::CutOff => "cut_off",
            Self::Form(error) => error.label(),
            Self::SignatureMissing => "signature_missing",
            Self::Signature {
                mistake: Some(mistake),
                ..
            } => mistake.label(),
            Self::Signature {
                invalid,
                mistake: None,
            } => invalid.label(),
            Self::ForeignAccount => "foreign_account",
            Self::Payload(error) => error.label(),
            Self::Shed => "shed",
            Self::DatabaseSlow => "database_slow",
            Self::WriterGone => "writer_gone",
            Self::Store(error) => error.label(),
            Self::Args(_) => "args",
        }
    }

    /// The metric label of a response with status 503.
    pub(super) fn shed(&self) -> Option<ShedReason> {
        match self {
            Self::Shed => Some(ShedReason::Full),
            Self::DatabaseSlow => Some(ShedReason::Late),
            Self::WriterGone | Self::Store(_) | Self::Args(_) => Some(ShedReason::Failed),
            Self::MediaType
            | Self::TooLarge
            | Self::TooSlow
            | Self::CutOff
            | Self::Form(_)
            | Self::SignatureMissing
            | Self::Signature { .. }
            | Self::ForeignAccount
            | Self::Payload(_) => None,
        }
    }

    /// Writes the log line.
    pub(super) fn log(&self) {
        let (reason, status) = (self.label(), self.status().as_u16());
        match self {
            Self::Signature {
                mistake: Some(mistake),
                ..
            } => {
                tracing::warn!(reason, status, error = %self, likely_cause = %mistake, "webhook refused");
            }
            Self::Shed | Self::DatabaseSlow | Self::WriterGone | Self::Store(_) | Self::Args(_) => {
                tracing::error!(
                    reason,
                    status,
                    error = %ErrorChain(self),
                    "webhook not accepted"
                );
            }
            Self::MediaType
            | Self::TooLarge
            | Self::TooSlow
            | Self::CutOff
            | Self::Form(_)
            | Self::SignatureMissing
            | Self::Signature { mistake: None, .. }
            | Self::ForeignAccount
            | Self::Payload(_) => {
                tracing::warn!(reason, status, error = %self, "webhook refused");
            }
        }
    }
}

impl IntoResponse for ReceiverError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, status.canonical_reason().unwrap_or("")).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
