//! Classifies Twilio's errors: was the message created, and what can we do about it?
//!
//! A request that Twilio may have processed must never count as "not processed": the recipient
//! would get, and we would pay for, two messages. The HTTP status decides first. Twilio's code only
//! refines it, as Twilio warns that codes change. No error holds a number or a body: we do not read
//! Twilio's own sentences, which quote both.

use std::time::Duration;

use serde::Deserialize;

/// The wait if the sender's queue is full and Twilio gives no `Retry-After`. The queue holds hours
/// of messages, so the exact value does not matter.
const QUEUE_FULL_PAUSE: Duration = Duration::from_mins(1);

/// The longest accepted `Retry-After`. A longer one is a mistake, or does not come from Twilio.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// Why a message was not created, or may not have been created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// Twilio certainly did not process the request. It is safe to send it again later.
    #[error("Twilio has not processed the request: {}", why.label())]
    NotProcessed {
        /// Twilio's `Retry-After`.
        retry_after: Option<Duration>,
        /// The reason.
        why: NotProcessed,
    },
    /// Twilio may have created a message. Another request could create a second one.
    #[error("Twilio may have processed the request: {}", .0.label())]
    Unclear(Unclear),
    /// Twilio will never send this message to this recipient.
    #[error("Twilio refuses the message: {} (HTTP {status}, code {})", reason.label(), shown(*code))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Twilio's code, if its answer has one.
        code: Option<u32>,
        /// The meaning of the code.
        reason: SendRefusal,
    },
    /// Twilio sends none of our messages until an operator changes the account or our settings.
    #[error("Twilio refuses us: {} (HTTP {status}, code {})", reason.label(), shown(*code))]
    Account {
        /// The HTTP status.
        status: u16,
        /// Twilio's code, if its answer has one.
        code: Option<u32>,
        /// The meaning of the code.
        reason: TwilioAccountProblem,
    },
}

pub(super) fn shown(code: Option<u32>) -> String {
    code.map_or_else(|| "none".to_owned(), |code| code.to_string())
}

/// Why Twilio did not process a request that it may accept later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotProcessed {
    /// Too many requests. Twilio guarantees that it did not process this one.
    Throttled,
    /// The sender's queue is full.
    QueueFull,
    /// There was no connection, so nothing was sent.
    NoConnection,
}

impl NotProcessed {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::QueueFull => "queue_full",
            Self::NoConnection => "no_connection",
        }
    }
}

/// How a request ended with an unknown result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unclear {
    /// No answer in time.
    Timeout,
    /// The connection ended before the answer did.
    ConnectionLost,
    /// A 5xx, from Twilio or from a proxy.
    ServerError(u16),
    /// An answer that Twilio's API does not give.
    UnexpectedAnswer(u16),
}

impl Unclear {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::ConnectionLost => "connection_lost",
            Self::ServerError(_) => "server_error",
            Self::UnexpectedAnswer(_) => "unexpected_answer",
        }
    }
}

/// Why Twilio refuses to send to this recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SendRefusal {
    /// The number is not valid.
    InvalidNumber,
    /// The number cannot get text messages.
    NotMobile,
    /// Our sender cannot reach that number.
    NoRoute,
    /// The account may not send to that country.
    RegionNotEnabled,
    /// The recipient sent STOP to our number.
    OptedOut,
    /// Twilio suspects fraud.
    BlockedAsFraud,
    /// Another reason that a retry does not change.
    Other,
}

impl SendRefusal {
    /// Returns the meaning of the code, if it is about the recipient.
    pub fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            21211 | 21217 | 21265 => Self::InvalidNumber,
            21614 | 21635 => Self::NotMobile,
            21214 | 21612 => Self::NoRoute,
            21408 => Self::RegionNotEnabled,
            21610 => Self::OptedOut,
            30450 | 60410 => Self::BlockedAsFraud,
            _ => return None,
        })
    }

    /// The name in rows and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::InvalidNumber => "invalid_number",
            Self::NotMobile => "not_mobile",
            Self::NoRoute => "no_route",
            Self::RegionNotEnabled => "region_not_enabled",
            Self::OptedOut => "opted_out",
            Self::BlockedAsFraud => "blocked_as_fraud",
            Self::Other => "other",
        }
    }
}

/// A problem that an operator must solve before Twilio sends our messages again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TwilioAccountProblem {
    /// The account's SID, key or token is wrong, or may not send messages.
    Credentials,
    /// The account is suspended or closed.
    Suspended,
    /// The sender is not ours, or cannot send text messages.
    SenderNotUsable,
    /// A trial account sends only to verified numbers.
    Trial,
    /// Twilio does not accept our request: our settings or this program are wrong.
    Request,
    /// The sender is not registered for this kind of traffic.
    Registration,
}

impl TwilioAccountProblem {
    /// All problems.
    pub(crate) const ALL: [Self; 6] = [
        Self::Credentials,
        Self::Suspended,
        Self::SenderNotUsable,
        Self::Trial,
        Self::Request,
        Self::Registration,
    ];

    /// Returns the meaning of the code, if it is about the account or the request itself.
    pub fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            20003 => Self::Credentials,
            20005 | 30002 => Self::Suspended,
            21212 | 21603 | 21606 | 21659 | 21660 => Self::SenderNotUsable,
            21608 => Self::Trial,
            20404 | 21602 | 21604 | 21609 | 21617 | 21619 => Self::Request,
            30032 | 30034 => Self::Registration,
            _ => return None,
        })
    }

    /// The name in rows and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Suspended => "suspended",
            Self::SenderNotUsable => "sender_not_usable",
            Self::Trial => "trial",
            Self::Request => "request",
            Self::Registration => "registration",
        }
    }
}

/// Why a list could not be read. The request changes nothing, so it may be repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// No answer, or a 5xx.
    #[error("Twilio cannot be reached: {}", .0.label())]
    Unavailable(Unclear),
    /// Too many requests.
    #[error("Twilio has had too many requests")]
    Throttled {
        /// Twilio's `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// Twilio refuses the request until an operator changes the account or our settings.
    #[error("Twilio refuses us: {} (HTTP {status})", reason.label())]
    Account {
        /// The HTTP status.
        status: u16,
        /// The meaning of the code.
        reason: TwilioAccountProblem,
    },
    /// The answer is not in Twilio's format.
    #[error("Twilio's list cannot be read")]
    Unreadable,
    /// The list has more rows than we read, or a page is too long.
    #[error("Twilio's list is too long")]
    TooLong,
}

/// Classifies an answer that is not a success.
pub(super) fn of_answer(status: u16, retry_after: Option<&str>, body: &[u8]) -> CreateError {
    let code = code_in(body);
    let refusal = code.and_then(SendRefusal::from_code);
    let account = code.and_then(TwilioAccountProblem::from_code);
    let account_or = |otherwise| CreateError::Account {
        status,
        code,
        reason: account.unwrap_or(otherwise),
    };
    match (status, refusal) {
        (429, _) => not_processed(code, retry_after),
        (400..=499, _) if code == Some(21611) => not_processed(code, retry_after),
        (408, _) => CreateError::Unclear(Unclear::Timeout),
        (401, _) | (403, None) => account_or(TwilioAccountProblem::Credentials),
        (400..=499, Some(reason)) => CreateError::Refused {
            status,
            code,
            reason,
        },
        // A recipient cannot cause a 404 for the list of messages: the account or the URL is wrong.
        (404 | 405, None) => account_or(TwilioAccountProblem::Request),
        (400..=499, None) if account.is_some() => account_or(TwilioAccountProblem::Request),
        (400..=499, None) => CreateError::Refused {
            status,
            code,
            reason: SendRefusal::Other,
        },
        (500..=599, _) => CreateError::Unclear(Unclear::ServerError(status)),
        _ => CreateError::Unclear(Unclear::UnexpectedAnswer(status)),
    }
}

fn not_processed(code: Option<u32>, retry_after: Option<&str>) -> CreateError {
    let retry_after = retry_after.and_then(seconds);
    if code == Some(21611) {
        return CreateError::NotProcessed {
            retry_after: Some(retry_after.unwrap_or(QUEUE_FULL_PAUSE)),
            why: NotProcessed::QueueFull,
        };
    }
    CreateError::NotProcessed {
        retry_after,
        why: NotProcessed::Throttled,
    }
}

/// Parses `Retry-After` in seconds. Twilio never sends it as a date, which would need a clock.
pub(crate) fn seconds(retry_after: &str) -> Option<Duration> {
    let text = retry_after.trim();
    // Longer texts of digits are numbers that do not fit the type.
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let duration = text.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs);
    Some(duration.min(MAX_RETRY_AFTER))
}

/// Returns Twilio's code. The HTML of a proxy has none.
fn code_in(body: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Answer {
        code: Option<u32>,
    }
    serde_json::from_slice::<Answer>(body).ok()?.code
}

/// Classifies an answer to a list request.
pub(super) fn of_list_answer(status: u16, retry_after: Option<&str>, body: &[u8]) -> ListError {
    match of_answer(status, retry_after, body) {
        CreateError::NotProcessed { retry_after, .. } => ListError::Throttled { retry_after },
        CreateError::Unclear(why) => ListError::Unavailable(why),
        CreateError::Account { status, reason, .. } => ListError::Account { status, reason },
        CreateError::Refused { status, .. } => ListError::Account {
            status,
            reason: TwilioAccountProblem::Request,
        },
    }
}

/// Classifies a request that got no complete answer.
///
/// reqwest's `is_connect` is true for errors whose cause is hyper-util's `ErrorKind::Connect`. In
/// hyper-util 0.1 (`client/legacy/client.rs`) that kind wraps the errors of the connector (name
/// look-up, TCP, TLS, and reqwest's own limit on all three), before a connection exists on which a
/// request could be written. It also arises for a pooled connection that turns out to be closed.
/// That is before any writing, too, and our client has no pool. From the first byte of the request
/// on, the kind is `SendRequest` or `Canceled`, and the limit on the whole request has none of
/// these kinds. So every error that is not `is_connect` is unclear. The tests of the simulated
/// Twilio prove this.
pub(super) fn of_failure(error: &reqwest::Error) -> CreateError {
    if error.is_connect() {
        CreateError::NotProcessed {
            retry_after: None,
            why: NotProcessed::NoConnection,
        }
    } else if error.is_timeout() {
        CreateError::Unclear(Unclear::Timeout)
    } else {
        CreateError::Unclear(Unclear::ConnectionLost)
    }
}

#[cfg(test)]
mod tests;
