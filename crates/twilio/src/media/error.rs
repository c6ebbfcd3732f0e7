//! Why there is no file, and what that means for asking again.
//!
//! No text here holds a URL: those of the redirects are keys to the file for hours.

use std::time::Duration;

/// Why there is no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    /// It is not Twilio that we were to ask. Nothing was asked there.
    #[error("the media URL is not to be fetched: {}", .0.label())]
    Forbidden(Forbidden),
    /// Twilio has no such file: not yet, in the first minutes of a message, or not any more.
    #[error("Twilio has no such media file")]
    NotFound,
    /// It is longer than allowed.
    #[error("the media file has more than {limit} bytes")]
    TooLarge {
        /// What is allowed.
        limit: u64,
    },
    /// Twilio does not let our account have its own files: our settings are wrong.
    #[error("Twilio does not accept our credentials for media (HTTP {status})")]
    Account {
        /// The HTTP status.
        status: u16,
    },
    /// Too many requests.
    #[error("Twilio has had too many requests for media")]
    Throttled {
        /// When Twilio says that it may be asked again.
        retry_after: Option<Duration>,
    },
    /// It may be there at another time.
    #[error("the media file is not to be had now: {}", .0.label())]
    Unavailable(Unavailable),
}

/// What is wrong with a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forbidden {
    /// It is not that of a file of this message, in our account, at Twilio's API.
    Url,
    /// It redirects to a host that is not known to keep Twilio's files.
    Redirect,
    /// Its host's address is not one of the public internet.
    Address,
    /// It redirects too often.
    TooManyRedirects,
}

/// What keeps a file from us for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// No connection.
    NoConnection,
    /// It does not come, or too slowly.
    Timeout,
    /// The connection ended before the file did.
    ConnectionLost,
    /// A 5xx, from Twilio or from where its files are.
    ServerError(u16),
    /// The host of the files refuses, as it does when its URL has expired.
    HostRefuses(u16),
    /// Something that has no place here.
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

    /// What a request that failed means.
    pub(super) fn of_failure(error: &reqwest::Error) -> Self {
        let why = if super::resolver::refused(error) {
            return Self::Forbidden(Forbidden::Address);
        } else if error.is_timeout() {
            Unavailable::Timeout
        } else if error.is_connect() {
            Unavailable::NoConnection
        } else {
            Unavailable::ConnectionLost
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

impl Unavailable {
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
