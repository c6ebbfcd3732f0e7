//! Why it is not known what a message says. No text here holds a key, a prompt, what was sent or
//! what was answered: an error is logged, and kept with the job.

use std::time::Duration;

/// Why there is no extraction.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The model cannot be reached, or fails. A later request may succeed.
    #[error("the model is not available: {}", .0.label())]
    Unavailable(ModelUnavailable),
    /// The account has sent too many or too large requests.
    #[error("the model has had too many requests")]
    Throttled {
        /// How long to wait, if the model says so.
        after: Option<Duration>,
    },
    /// No request can succeed until an operator changes the account or our settings.
    #[error("the model's service refuses us: {} (HTTP {status})", problem.label())]
    Account {
        /// The HTTP status.
        status: u16,
        /// What is wrong.
        problem: ModelAccountProblem,
    },
    /// The model refuses this message, and would refuse it again.
    #[error("the model refuses the message: {}", .0.label())]
    Refused(ModelRefusal),
    /// The model's answer is not usable. The next one may be.
    #[error("the model's answer is not usable: {}", .0.label())]
    BadAnswer(BadAnswer),
    /// An attachment cannot be read for now.
    #[error("an attachment cannot be read")]
    Content(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ExtractError {
    /// The metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Throttled { .. } => "throttled",
            Self::Account { .. } => "account",
            Self::Refused(_) => "refused",
            Self::BadAnswer(_) => "bad_answer",
            Self::Content(_) => "content",
        }
    }
}

/// Why a model does not answer for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelUnavailable {
    /// No answer in time.
    Timeout,
    /// No connection, or one that ended before the answer was complete.
    Connection,
    /// A 5xx, from the model's service or from a proxy before it.
    Server(u16),
}

impl ModelUnavailable {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Server(_) => "server_error",
        }
    }
}

/// What an operator has to fix before the model answers again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelAccountProblem {
    /// The key is wrong, or lacks a permission.
    Credentials,
    /// There is no such model for this account.
    Model,
    /// No credit is left, or billing is not set up.
    Billing,
    /// The base URL is wrong.
    Address,
}

impl ModelAccountProblem {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Model => "model",
            Self::Billing => "billing",
            Self::Address => "address",
        }
    }
}

/// Why a model refuses a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelRefusal {
    /// A safety filter blocked the message or the answer.
    Safety,
    /// The model declined in words.
    Declined,
    /// The service cannot process the request, for example because of a damaged picture.
    Request(u16),
}

impl ModelRefusal {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Safety => "safety",
            Self::Declined => "declined",
            Self::Request(_) => "request",
        }
    }
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadAnswer {
    /// It is empty.
    Empty,
    /// It was cut off.
    Cut,
    /// It is longer than the limit.
    TooLong,
    /// It does not follow the service's protocol.
    Protocol,
    /// It does not follow the requested schema.
    Schema,
}

impl BadAnswer {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Cut => "cut",
            Self::TooLong => "too_long",
            Self::Protocol => "protocol",
            Self::Schema => "schema",
        }
    }
}

/// Why an attachment cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// It has been erased.
    #[error("the attachment is gone")]
    Gone,
    /// It is larger than the limit.
    #[error("the attachment is larger than expected")]
    TooLarge,
    /// It cannot be read for now.
    #[error("the attachment cannot be read")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why the configuration of a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelConfigError {
    /// The base URL is not usable.
    #[error("the model's base URL must be an http or https URL without a query")]
    BaseUrl,
    /// The model's name has characters that would change the URL.
    #[error("a model's name consists of letters, digits, `.`, `_` and `-`")]
    Model,
    /// The key has characters that an HTTP header cannot have.
    #[error("the key has characters that no key has")]
    Key,
    /// TLS or the resolver could not be set up.
    #[error("cannot make an HTTP client")]
    Http(#[source] reqwest::Error),
}
