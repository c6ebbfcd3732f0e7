//! The errors of fetching a file.
//!
//! No error holds a URL: for hours, anyone with the URL of a redirect can fetch the file.

use std::time::Duration;

/// Why a file was not fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    /// The URL does not lead to Twilio. No request was sent.
    #[error("the media URL must not be fetched: {}", .0.label())]
    Forbidden(Forbidden),
    /// Twilio does not have the file. In the first minutes of a message it may not have it yet.
    #[error("Twilio has no such media file")]
    NotFound,
    /// The file is too large.
    #[error("the media file has more than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// Twilio refuses our credentials for the account's own files: our settings are wrong.
    #[error("Twilio does not accept our credentials for media (HTTP {status})")]
    Account {
        /// The HTTP status.
        status: u16,
    },
    /// Too many requests.
    #[error("Twilio has had too many requests for media")]
    Throttled {
        /// Twilio's `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The file may be available later.
    #[error("the media file is not available now: {}", .0.label())]
    Unavailable(MediaUnavailable),
}

/// Why a URL must not be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forbidden {
    /// It is not the URL of a file of this message, in our account, at Twilio's API.
    Url,
    /// It redirects to a host that is not one of Twilio's file hosts.
    Redirect,
    /// The address of its host is not public.
    Address,
    /// It redirects too often.
    TooManyRedirects,
}

/// Why a file is not available now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaUnavailable {
    /// No connection.
    NoConnection,
    /// The file did not arrive in time.
    Timeout,
    /// The connection ended before the end of the file.
    ConnectionLost,
    /// A 5xx, from Twilio or from a file host.
    ServerError(u16),
    /// The file host refuses the request, as it does if the URL has expired.
    HostRefuses(u16),
    /// Another HTTP status.
    UnexpectedAnswer(u16),
}

impl MediaError {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Forbidden(why) => why.label(),
            Self::NotFound => "not_found",
            Self::TooLarge { .. } => "too_large",
            Self::Account { .. } => "account",
            Self::Throttled { .. } => "throttled",
            Self::Unavailable(why) => why.label(),
        }
    }

    /// Classifies a failed request.
    pub(super) fn of_failure(error: &reqwest::Error) -> Self {
        let why = if super::resolver::refused(error) {
            return Self::Forbidden(Forbidden::Address);
        } else if error.is_timeout() {
            MediaUnavailable::Timeout
        } else if error.is_connect() {
            MediaUnavailable::NoConnection
        } else {
            MediaUnavailable::ConnectionLost
        };
        Self::Unavailable(why)
    }
}

impl Forbidden {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Redirect => "redirect",
            Self::Address => "address",
            Self::TooManyRedirects => "too_many_redirects",
        }
    }
}

impl MediaUnavailable {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoConnection => "no_connection",
            Self::Timeout => "timeout",
            Self::ConnectionLost => "connection_lost",
            Self::ServerError(_) => "server_error",
            Self::HostRefuses(_) => "host_refuses",
            Self::UnexpectedAnswer(_) => "unexpected_answer",
        }
    }
}
