//! What goes wrong at the simulated Twilio as a whole, rather than with messages to one number.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The conditions under which the simulated Twilio works. By default nothing goes wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiConditions {
    /// Milliseconds until a new inbound message appears in the list of messages.
    pub list_delay_ms: u64,
    /// Milliseconds from the failure of a webhook until its alert appears.
    pub alert_delay_ms: u64,
    /// Whether failed webhooks make no alerts.
    pub without_alerts: bool,
    /// The answer to requests that read, except for files.
    pub reads: ReadAnswer,
    /// What happens to webhooks.
    pub webhooks: WebhookFate,
}

/// The answer to a request that reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadAnswer {
    /// What was asked for.
    #[default]
    Normal,
    /// 429 for the next `times` requests.
    Throttle {
        /// The number of requests that get 429.
        times: u32,
        /// `Retry-After`, in seconds.
        retry_after: Option<u64>,
    },
    /// 500 for the next `times` requests.
    ServerError {
        /// The number of requests that get 500.
        times: u32,
    },
    /// The connection closes without an answer, for the next `times` requests.
    Cut {
        /// The number of requests without an answer.
        times: u32,
    },
    /// One of Twilio's errors, until the conditions change.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// Twilio's error code.
        code: u32,
    },
    /// 401 with code 20003, until the conditions change.
    BadCredentials,
    /// What was asked for, but late.
    Slow {
        /// Milliseconds until the answer.
        ms: u64,
    },
}

impl ReadAnswer {
    /// Returns the answer to one more request, and counts the request.
    pub(crate) fn next(&mut self) -> Self {
        let now = self.clone();
        if let Self::Throttle { times, .. } | Self::ServerError { times } | Self::Cut { times } =
            self
        {
            *times = times.saturating_sub(1);
            if *times == 0 {
                *self = Self::Normal;
            }
        }
        now
    }
}

/// What happens to the webhooks of inbound messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookFate {
    /// They are posted to the receiver.
    #[default]
    Deliver,
    /// They fail at Twilio and nothing is posted.
    Lose {
        /// Twilio's error code, such as 11200.
        error_code: u32,
    },
}

impl ApiConditions {
    pub(crate) fn list_delay(&self) -> Duration {
        Duration::from_millis(self.list_delay_ms)
    }

    pub(crate) fn alert_delay(&self) -> Duration {
        Duration::from_millis(self.alert_delay_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_counted_ends() {
        let mut reads = ReadAnswer::ServerError { times: 2 };
        let answers: Vec<_> = std::iter::repeat_with(|| reads.next()).take(4).collect();
        assert!(matches!(answers[0], ReadAnswer::ServerError { times: 2 }));
        assert!(matches!(answers[1], ReadAnswer::ServerError { times: 1 }));
        assert_eq!(answers[2..], [ReadAnswer::Normal, ReadAnswer::Normal]);
        let mut lasting = ReadAnswer::BadCredentials;
        assert_eq!(lasting.next(), lasting.next());
    }
}
