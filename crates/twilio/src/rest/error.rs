//! Why Twilio has not made a message, or may not have: what its answer means for us.
//!
//! It must never take for "not processed" what Twilio may have processed, for then somebody gets,
//! and we pay, two messages. The HTTP status decides first and Twilio's code only refines it: Twilio
//! warns that codes change. No text here holds a number or a body: Twilio's own sentences, which
//! quote both, are not even read.

use std::time::Duration;

use serde::Deserialize;

/// How long to wait when Twilio says that the sender's queue is full and not for how long. It holds
/// hours of messages, so it does not matter much.
const QUEUE_FULL_PAUSE: Duration = Duration::from_mins(1);

/// A longer wait than this is not taken from an answer: it would be a mistake, or not Twilio's.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// Why there is no message, or may be none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// Twilio has certainly not processed the request. It is safe to ask again, later.
    #[error("Twilio has not processed the request: {}", why.label())]
    NotProcessed {
        /// When Twilio says that it may be asked again.
        retry_after: Option<Duration>,
        /// What is in the way.
        why: NotProcessed,
    },
    /// There may be a message. Asking again could make a second one.
    #[error("Twilio may have processed the request: {}", .0.label())]
    Unclear(Unclear),
    /// Twilio will never send this message to this recipient.
    #[error("Twilio refuses the message: {} (HTTP {status}, code {})", reason.label(), shown(*code))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Twilio's code, if its answer has one.
        code: Option<u32>,
        /// What it means.
        reason: Refusal,
    },
    /// Twilio will send no message of ours until somebody changes the account or our settings.
    #[error("Twilio refuses us: {} (HTTP {status}, code {})", reason.label(), shown(*code))]
    Account {
        /// The HTTP status.
        status: u16,
        /// Twilio's code, if its answer has one.
        code: Option<u32>,
        /// What it means.
        reason: AccountProblem,
    },
}

pub(super) fn shown(code: Option<u32>) -> String {
    code.map_or_else(|| "none".to_owned(), |code| code.to_string())
}

/// What keeps Twilio from processing a request that it would take at another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotProcessed {
    /// Too many requests. Twilio promises that it has not processed this one.
    Throttled,
    /// The sender has more to send than it can in the time.
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

/// How a request ended without our learning what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unclear {
    /// No answer in time.
    Timeout,
    /// The connection ended before the answer did.
    ConnectionLost,
    /// A 5xx, from Twilio or from something before it.
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

/// Why a message cannot go to this recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No phone has this number.
    InvalidNumber,
    /// The number cannot get text messages.
    NotMobile,
    /// There is no way from our sender to that number.
    NoRoute,
    /// The account may not send to that country.
    RegionNotEnabled,
    /// The person has told our number to stop.
    OptedOut,
    /// Twilio takes it for messaging fraud.
    BlockedAsFraud,
    /// Something else that asking again would not change.
    Other,
}

impl Refusal {
    /// What the code means, if it is about the recipient.
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

/// What somebody has to put right before Twilio sends for us again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountProblem {
    /// The account's SID, key or token is wrong, or may not send messages.
    Credentials,
    /// The account is suspended or closed.
    Suspended,
    /// The sender is not ours, or cannot send text messages.
    SenderNotUsable,
    /// A trial account sends to numbers that it has verified only.
    Trial,
    /// Twilio does not take requests such as ours: our settings or this program are wrong.
    Request,
    /// The sender is not registered for this kind of traffic.
    Registration,
}

impl AccountProblem {
    /// All there are.
    pub(crate) const ALL: [Self; 6] = [
        Self::Credentials,
        Self::Suspended,
        Self::SenderNotUsable,
        Self::Trial,
        Self::Request,
        Self::Registration,
    ];

    /// What the code means, if it is about the account or the request as such.
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

/// Why there is no list of messages. Asking for one changes nothing, so asking again is harmless.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// No answer, or a 5xx.
    #[error("Twilio is not to be reached: {}", .0.label())]
    Unavailable(Unclear),
    /// Too many requests.
    #[error("Twilio has had too many requests")]
    Throttled {
        /// When Twilio says that it may be asked again.
        retry_after: Option<Duration>,
    },
    /// Twilio does not let us, until somebody changes the account or our settings.
    #[error("Twilio refuses us: {} (HTTP {status})", reason.label())]
    Account {
        /// The HTTP status.
        status: u16,
        /// What it means.
        reason: AccountProblem,
    },
    /// Not what Twilio answers.
    #[error("Twilio's list of messages cannot be read")]
    Unreadable,
    /// More messages than we are ready to read.
    #[error("Twilio's list of messages is too long")]
    TooLong,
}

/// What an answer says that is no success.
pub(super) fn of_answer(status: u16, retry_after: Option<&str>, body: &[u8]) -> CreateError {
    let code = code_in(body);
    let refusal = code.and_then(Refusal::from_code);
    let account = code.and_then(AccountProblem::from_code);
    let account_or = |otherwise| CreateError::Account {
        status,
        code,
        reason: account.unwrap_or(otherwise),
    };
    match (status, refusal) {
        (429, _) => not_processed(code, retry_after),
        (400..=499, _) if code == Some(21611) => not_processed(code, retry_after),
        (408, _) => CreateError::Unclear(Unclear::Timeout),
        (401, _) | (403, None) => account_or(AccountProblem::Credentials),
        (400..=499, Some(reason)) => CreateError::Refused {
            status,
            code,
            reason,
        },
        // No recipient makes the list of messages disappear: the account or the URL is wrong.
        (404 | 405, None) => account_or(AccountProblem::Request),
        (400..=499, None) if account.is_some() => account_or(AccountProblem::Request),
        (400..=499, None) => CreateError::Refused {
            status,
            code,
            reason: Refusal::Other,
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

/// `Retry-After` in seconds. As a date it would need a clock, and Twilio sends none.
pub(crate) fn seconds(retry_after: &str) -> Option<Duration> {
    let text = retry_after.trim();
    // Longer texts of digits are numbers, too, but too large for the type.
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let duration = text.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs);
    Some(duration.min(MAX_RETRY_AFTER))
}

/// Twilio's code; there is none in the HTML of a proxy.
fn code_in(body: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Answer {
        code: Option<u32>,
    }
    serde_json::from_slice::<Answer>(body).ok()?.code
}

/// The same for a request that changes nothing.
pub(super) fn of_list_answer(status: u16, retry_after: Option<&str>, body: &[u8]) -> ListError {
    match of_answer(status, retry_after, body) {
        CreateError::NotProcessed { retry_after, .. } => ListError::Throttled { retry_after },
        CreateError::Unclear(why) => ListError::Unavailable(why),
        CreateError::Account { status, reason, .. } => ListError::Account { status, reason },
        CreateError::Refused { status, .. } => ListError::Account {
            status,
            reason: AccountProblem::Request,
        },
    }
}

/// What the failure of a request says that got no whole answer.
///
/// reqwest says `is_connect` of errors whose cause is hyper-util's `ErrorKind::Connect`. In
/// hyper-util 0.1 (`client/legacy/client.rs`) that kind is made of what the connector returns (the
/// look-up of the name, TCP, TLS, and reqwest's own limit on all three), before any connection
/// exists on which a request could be written. The other place where it is made, a connection that
/// turns out to be closed when it is taken out of the pool, is before any writing, too, and not
/// reached without a pool. What happens from the first byte of the request on is `SendRequest` or
/// `Canceled`, and the limit on the whole request is an error without any of these. So all that is
/// not `is_connect` is unclear. `tests` of the simulated Twilio hold this to be so.
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
