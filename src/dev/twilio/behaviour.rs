//! How the simulated Twilio treats messages to a number.

use serde::{Deserialize, Serialize};

/// What a request to send to a number gets, and what its status callbacks are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// What the request gets.
    pub answer: Answer,
    /// What becomes of the message, if there is one.
    pub callbacks: Callbacks,
}

/// What a request to send a message gets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// 201, and there is a message.
    #[default]
    Accept,
    /// An error of Twilio's, and there is no message.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// Twilio's code.
        code: u32,
    },
    /// 401 with code 20003, as if the auth token had been changed.
    BadCredentials,
    /// 429 for so many times, then 201.
    Throttle {
        /// How often.
        times: u32,
        /// `Retry-After`, in seconds.
        retry_after: Option<u64>,
    },
    /// 500, with or without there being a message.
    ServerError {
        /// Is there one?
        accept: bool,
    },
    /// 201, but late. The message is made even if the client does not wait for it.
    Slow {
        /// Milliseconds until there is a message.
        before_accepting: u64,
        /// Milliseconds from then to the answer.
        after: u64,
    },
    /// The connection ends without an answer, and there is no message.
    CutBefore,
    /// The connection ends without an answer, and there is a message.
    CutAfter,
    /// 201 with a body that is no JSON, and there is a message.
    Garbage,
    /// No answer for as long as the client waits, and there is no message.
    Never,
}

/// What becomes of a message, and which status callbacks tell of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Callbacks {
    /// It is sent and delivered, and each is told.
    #[default]
    Delivered,
    /// It is sent, and then found not to be deliverable, with this code.
    Undelivered {
        /// Such as 30005.
        code: u32,
    },
    /// It is sent and delivered, and nobody is told.
    None,
    /// These are told in this order, one after the other, whether it makes sense or not.
    Sequence {
        /// Twilio's words: `queued`, `sending`, `sent`, `delivered`, `undelivered`, `failed` …
        statuses: Vec<String>,
        /// Goes with `undelivered` and `failed`.
        #[serde(default)]
        error_code: Option<u32>,
        /// All of them before the request that made the message is answered.
        #[serde(default)]
        before_answer: bool,
    },
}

/// A status that a message gets.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) status: String,
    pub(super) error_code: Option<u32>,
}

impl Behaviour {
    /// How a number is treated that nobody has said anything about: as Twilio's [magic
    /// numbers](https://www.twilio.com/docs/iam/test-credentials#test-sms-messages) are, else well.
    pub fn of(number: &str) -> Self {
        let code = match number {
            "+15005550001" => 21211,
            "+15005550002" => 21612,
            "+15005550003" => 21408,
            "+15005550004" => 21610,
            "+15005550009" => 21614,
            _ => return Self::default(),
        };
        Answer::Refuse { status: 400, code }.into()
    }
}

impl Answer {
    /// This answer, and no callback for the message if there is one.
    pub fn without_callbacks(self) -> Behaviour {
        Behaviour {
            answer: self,
            callbacks: Callbacks::None,
        }
    }
}

impl From<Answer> for Behaviour {
    fn from(answer: Answer) -> Self {
        Self {
            answer,
            callbacks: Callbacks::default(),
        }
    }
}

impl From<Callbacks> for Behaviour {
    fn from(callbacks: Callbacks) -> Self {
        Self {
            answer: Answer::default(),
            callbacks,
        }
    }
}

impl Callbacks {
    /// In order. The initial status is none of them: Twilio does not call back for it.
    pub(super) fn steps(&self, by_service: bool) -> Vec<Step> {
        let step = |status: &str, error_code| Step {
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
        // A message by a service starts as `accepted`, and one by a number as `queued`.
        let mut steps = Vec::new();
        if by_service {
            steps.push(step("queued", None));
        }
        steps.extend([step("sent", None), step(end, error_code)]);
        steps
    }

    pub(super) fn told(&self) -> bool {
        !matches!(self, Self::None)
    }

    pub(super) fn before_answer(&self) -> bool {
        matches!(
            self,
            Self::Sequence {
                before_answer: true,
                ..
            }
        )
    }
}

/// How far a status is on a message's way: what a message has reached it does not lose.
pub(super) fn rank(status: &str) -> u8 {
    match status {
        "accepted" | "scheduled" => 0,
        "queued" => 1,
        "sending" => 2,
        "sent" => 3,
        "read" => 5,
        _ => 4,
    }
}
