//! Twilio's connection overrides: how often and for how long it tries a webhook.
//!
//! Source: Twilio docs, [connection
//! overrides](https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides).

use std::time::Duration;

/// How one try of a webhook ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WebhookTry {
    /// The receiver answered with this status.
    Answered(u16),
    /// There was no connection.
    NoConnection,
    /// The answer did not come in time, or broke off.
    NoAnswer,
}

impl WebhookTry {
    pub(crate) fn is_delivered(self) -> bool {
        matches!(self, Self::Answered(200..=299))
    }

    /// Twilio's error code.
    pub(crate) fn error_code(self) -> u32 {
        match self {
            Self::Answered(_) | Self::NoAnswer => 11200,
            Self::NoConnection => 11205,
        }
    }

    /// Twilio's word for this reason in `rp`.
    fn reason(self) -> Option<&'static str> {
        match self {
            Self::Answered(400..=499) => Some("4xx"),
            Self::Answered(500..=599) => Some("5xx"),
            Self::Answered(_) => None,
            Self::NoConnection => Some("ct"),
            Self::NoAnswer => Some("rt"),
        }
    }
}

/// The overrides of a webhook's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RetryRules {
    /// How often it is tried again.
    retries: u32,
    /// After which failures.
    reasons: Vec<String>,
    /// How long one answer may take.
    pub(crate) read: Duration,
    /// How long all tries may take.
    pub(crate) total: Duration,
}

impl RetryRules {
    /// Reads the fragment of the URL. Twilio's defaults apply to what it does not say.
    pub(crate) fn of(url: &str) -> Self {
        let overrides = url.split_once('#').map_or("", |(_, overrides)| overrides);
        let value = |wanted: &str| {
            let pairs = overrides.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .rev()
                .find_map(|(name, value)| (name == wanted).then_some(value))
        };
        let number = |name: &str, range: std::ops::RangeInclusive<u64>, otherwise: u64| {
            let number = value(name).and_then(|text| text.parse().ok());
            number.filter(|n| range.contains(n)).unwrap_or(otherwise)
        };
        let time = |name| Duration::from_millis(number(name, 100..=15_000, 15_000));
        Self {
            retries: u32::try_from(number("rc", 0..=5, 1)).unwrap_or_default(),
            reasons: value("rp")
                .unwrap_or("ct")
                .split(',')
                .map(str::to_owned)
                .collect(),
            read: time("rt"),
            total: time("tt"),
        }
    }

    /// Whether Twilio tries again after `tries` tries, of which this was the last.
    pub(crate) fn again(&self, tries: u32, last: WebhookTry) -> bool {
        let is_reason = |reason: &str| self.reasons.iter().any(|r| r == reason || r == "all");
        tries <= self.retries && last.reason().is_some_and(is_reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_only_a_failed_connection_is_retried_and_only_once() {
        let rules = RetryRules::of("https://sms.example.com/webhook");
        assert!(rules.again(1, WebhookTry::NoConnection));
        assert!(!rules.again(2, WebhookTry::NoConnection));
        for last in [WebhookTry::NoAnswer, WebhookTry::Answered(503)] {
            assert!(!rules.again(1, last));
        }
        assert_eq!(rules.total, Duration::from_secs(15));
    }

    #[test]
    fn the_overrides_decide_what_is_retried_and_for_how_long() {
        let rules = RetryRules::of("https://sms.example.com/webhook#rc=3&rp=all&rt=4000&tt=9000");
        for last in [
            WebhookTry::NoConnection,
            WebhookTry::NoAnswer,
            WebhookTry::Answered(404),
            WebhookTry::Answered(503),
        ] {
            assert!(rules.again(3, last) && !rules.again(4, last), "{last:?}");
        }
        assert!(!rules.again(1, WebhookTry::Answered(302)));
        assert_eq!(rules.read, Duration::from_secs(4));
        assert_eq!(rules.total, Duration::from_secs(9));
        let some = RetryRules::of("https://sms.example.com/#rp=5xx,rt&rc=9&tt=1");
        assert!(some.again(1, WebhookTry::Answered(500)));
        assert!(
            !some.again(2, WebhookTry::Answered(500)),
            "rc is out of range"
        );
        assert!(!some.again(1, WebhookTry::NoConnection));
        assert_eq!(some.total, Duration::from_secs(15));
    }
}
