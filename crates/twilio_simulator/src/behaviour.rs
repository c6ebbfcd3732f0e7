//! How the simulated Twilio treats messages to a number.

use serde::{Deserialize, Serialize};

/// How the API answers a request to send to a number, and which status callbacks it makes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// The answer to the request.
    pub answer: SendAnswer,
    /// The statuses of the message, if it was accepted.
    pub callbacks: Callbacks,
}

/// The answer to a request to send a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendAnswer {
    /// 201; the message is accepted.
    #[default]
    Accept,
    /// One of Twilio's errors; no message is accepted.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// Twilio's error code.
        code: u32,
    },
    /// 401 with code 20003, as if the auth token had been changed.
    BadCredentials,
    /// 429 for the first `times` requests, then 201.
    Throttle {
        /// The number of requests that get 429.
        times: u32,
        /// `Retry-After`, in seconds.
        retry_after: Option<u64>,
    },
    /// 500.
    ServerError {
        /// Whether the message is accepted all the same.
        accept: bool,
    },
    /// 201, but late. The message is accepted even if the client gives up earlier.
    Slow {
        /// Milliseconds until the message is accepted.
        before_accepting: u64,
        /// Milliseconds from then to the answer.
        after: u64,
    },
    /// The connection closes without an answer; no message is accepted.
    CutBefore,
    /// The connection closes without an answer; the message is accepted.
    CutAfter,
    /// 201 with a body that is not JSON; the message is accepted.
    Garbage,
    /// No answer at all; no message is accepted.
    Never,
}

/// The statuses that an accepted message goes through, and the callbacks that report them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Callbacks {
    /// The message is sent and delivered; both are reported.
    #[default]
    Delivered,
    /// The message is sent, then undelivered with this code; both are reported.
    Undelivered {
        /// Twilio's error code, such as 30005.
        code: u32,
    },
    /// The message is sent and delivered; nothing is reported.
    None,
    /// These statuses are reported in this order, even if Twilio would never do so.
    Sequence {
        /// Twilio's names of them: `queued`, `sending`, `sent`, `delivered`, `undelivered`,
        /// `failed` …
        statuses: Vec<String>,
        /// The error code reported with `undelivered` and `failed`.
        #[serde(default)]
        error_code: Option<u32>,
        /// Whether all are reported before the request that made the message is answered.
        #[serde(default)]
        before_answer: bool,
    },
}

/// A status that a message gets.
#[derive(Debug, Clone)]
pub(crate) struct StatusStep {
    pub(crate) status: String,
    pub(crate) error_code: Option<u32>,
}

impl Behaviour {
    /// The default for a number. Twilio's [magic
    /// numbers](https://www.twilio.com/docs/iam/test-credentials#test-sms-messages) are refused as
    /// Twilio refuses them; messages to all others are delivered.
    pub fn of(number: &str) -> Self {
        let code = match number {
            "+15005550001" => 21211,
            "+15005550002" => 21612,
            "+15005550003" => 21408,
            "+15005550004" => 21610,
            "+15005550009" => 21614,
            _ => return Self::default(),
        };
        SendAnswer::Refuse { status: 400, code }.into()
    }
}

impl SendAnswer {
    /// This answer, and no callbacks.
    pub fn without_callbacks(self) -> Behaviour {
        Behaviour {
            answer: self,
            callbacks: Callbacks::None,
        }
    }
}

impl From<SendAnswer> for Behaviour {
    fn from(answer: SendAnswer) -> Self {
        Self {
            answer,
            callbacks: Callbacks::default(),
        }
    }
}

impl From<Callbacks> for Behaviour {
    fn from(callbacks: Callbacks) -> Self {
        Self {
            answer: SendAnswer::default(),
            callbacks,
        }
    }
}

impl Callbacks {
    /// The statuses in order, without the initial one, for which Twilio makes no callback.
    pub(crate) fn steps(&self, by_service: bool) -> Vec<StatusStep> {
        let step = |status: &str, error_code| StatusStep {
            status: status.to_owned(),
            error_code,
        };
        let (end, error_code) = match self {
            Self::Sequence {
                statuses,
                error_code,
                ..
            } => {
                let with_code = |status: &String| {
                    let failed = matches!(status.as_str(), "undelivered" | "failed");
                    step(status, error_code.filter(|_| failed))
                };
                return statuses.iter().map(with_code).collect();
            }
            Self::Undelivered { code } => ("undelivered", Some(*code)),
            Self::Delivered | Self::None => ("delivered", None),
        };
        // A message sent by a messaging service starts as `accepted`, one sent by a number as
        // `queued`.
        let mut steps = Vec::new();
        if by_service {
            steps.push(step("queued", None));
        }
        steps.extend([step("sent", None), step(end, error_code)]);
        steps
    }

    /// Whether any callback is made.
    pub(crate) fn are_made(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether all callbacks are made before the request is answered.
    pub(crate) fn before_answer(&self) -> bool {
        matches!(
            self,
            Self::Sequence {
                before_answer: true,
                ..
            }
        )
    }
}

/// The order of statuses: a message never moves to a lower rank.
pub(crate) fn rank(status: &str) -> u8 {
    match status {
        "accepted" | "scheduled" => 0,
        "queued" => 1,
        "sending" => 2,
        "sent" => 3,
        "read" => 5,
        _ => 4,
    }
}
