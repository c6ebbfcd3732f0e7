//! Why it is not known what a message says. No text here holds a key, a prompt, what was sent or what was answered: an
//! error is logged, and kept with the job.

use std::time::Duration;

/// Why there is no extraction.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The model is not to be reached, or fails. Another time it may not.
    #[error("the model is not available: {}", .0.label())]
    Unavailable(Unavailable),
    /// Too many requests, or too much of them, for the account.
    #[error("the model has had too many requests")]
    Throttled {
        /// When it says that it may be asked again.
        after: Option<Duration>,
    },
    /// No message of anybody will be answered until somebody changes the account or our settings.
    #[error("the model's service refuses us: {} (HTTP {status})", problem.label())]
    Account {
        /// The HTTP status.
        status: u16,
        /// What is wrong.
        problem: AccountProblem,
    },
    /// The model does not want to speak about this message, and will not the next time.
    #[error("the model refuses the message: {}", .0.label())]
    Refused(Refusal),
    /// An answer that is none. The next one may be.
    #[error("the model's answer is of no use: {}", .0.label())]
    BadAnswer(BadAnswer),
    /// An attachment cannot be read at the moment.
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

/// What keeps a model from answering for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// No answer in time.
    Timeout,
    /// No connection, or one that ended before the answer did.
    Connection,
    /// A 5xx, from the model's service or from something before it.
    Server(u16),
}

impl Unavailable {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Server(_) => "server_error",
        }
    }
}

/// What somebody has to put right before the model answers us again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountProblem {
    /// The key is wrong, or may not do this.
    Credentials,
    /// There is no such model, or not for us.
    Model,
    /// No credit is left, or billing is not set up.
    Billing,
    /// The service is not there: our base URL is wrong.
    Address,
}

impl AccountProblem {
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

/// Why a model does not want to speak about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// What was sent, or what would have been answered, was blocked.
    Safety,
    /// The model declined in words.
    Declined,
    /// The service cannot do anything with this request, such as with a damaged picture in it.
    Request(u16),
}

impl Refusal {
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
    /// It says nothing.
    Empty,
    /// It ended before its end.
    Cut,
    /// It is longer than we read.
    TooLong,
    /// It is not what the service's protocol says.
    Protocol,
    /// It is not of the form that was asked for.
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

/// Why there are no bytes of an attachment.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// They have been erased. They will not come back.
    #[error("the attachment is gone")]
    Gone,
    /// There are more of them than asked for.
    #[error("the attachment is larger than expected")]
    TooLarge,
    /// They cannot be read at the moment.
    #[error("the attachment cannot be read")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why there is no client of a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelConfigError {
    /// Nothing can be asked of this address.
    #[error("the model's base URL must be an http or https URL without a query")]
    BaseUrl,
    /// The name would not stay in its place in the URL.
    #[error("a model's name consists of letters, digits, `.`, `_` and `-`")]
    Model,
    /// The key would not stay in its place in the header.
    #[error("the key has characters that no key has")]
    Key,
    /// TLS or the resolver could not be set up.
    #[error("cannot make an HTTP client")]
    Http(#[source] reqwest::Error),
}
