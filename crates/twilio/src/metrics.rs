//! All metrics of this crate. They measure calls to Twilio's API.

use std::time::{Duration, Instant};

use ::metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

use crate::{
    media::MediaError,
    rest::{CreateError, ListError, TwilioAccountProblem},
};

const CALLS: &str = "pigeonhole_twilio_calls_total";
const CALL_DURATION: &str = "pigeonhole_twilio_call_duration_seconds";

/// Describes the metrics.
pub fn describe() {
    describe_counter!(
        CALLS,
        Unit::Count,
        "Calls to Twilio's API, by call (create_message, list_messages, list_inbound, list_media, list_alerts, \
         fetch_alert, list_numbers, fetch_media, delete_media), by what it means for us (class: ok, refused, \
         not_processed, unclear, unavailable, account) and in detail (outcome)"
    );
    describe_histogram!(
        CALL_DURATION,
        Unit::Seconds,
        "How long calls to Twilio's API took, however they ended; of a file, until it began to come"
    );
}

/// The calls to Twilio's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApiCall {
    CreateMessage,
    ListMessages,
    ListInbound,
    ListMedia,
    ListAlerts,
    FetchAlert,
    ListNumbers,
    FetchMedia,
    DeleteMedia,
}

impl ApiCall {
    /// The calls that [`crate::rest::Client`] makes.
    pub(crate) const OF_CLIENT: [Self; 7] = [
        Self::CreateMessage,
        Self::ListMessages,
        Self::ListInbound,
        Self::ListMedia,
        Self::ListAlerts,
        Self::FetchAlert,
        Self::ListNumbers,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::CreateMessage => "create_message",
            Self::ListMessages => "list_messages",
            Self::ListInbound => "list_inbound",
            Self::ListMedia => "list_media",
            Self::ListAlerts => "list_alerts",
            Self::FetchAlert => "fetch_alert",
            Self::ListNumbers => "list_numbers",
            Self::FetchMedia => "fetch_media",
            Self::DeleteMedia => "delete_media",
        }
    }

    /// Starts the counters of alerts at zero, so that Prometheus sees the first increase.
    pub(crate) fn start(self) {
        let account = TwilioAccountProblem::ALL.map(|problem| ("account", problem.label()));
        for (class, outcome) in account.into_iter().chain([("ok", "ok")]) {
            self.counted(class, outcome, 0);
        }
        drop(histogram!(CALL_DURATION, "call" => self.as_str()));
    }

    /// Makes the call and measures it.
    pub(crate) async fn measure<T, E: Classed>(
        self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let started = Instant::now();
        let result = call.await;
        self.ended(result.as_ref().err(), started.elapsed());
        result
    }

    fn ended(self, error: Option<&impl Classed>, took: Duration) {
        let (class, outcome) = error.map_or(("ok", "ok"), Classed::class);
        self.counted(class, outcome, 1);
        histogram!(CALL_DURATION, "call" => self.as_str()).record(took);
    }

    fn counted(self, class: &'static str, outcome: &'static str, count: u64) {
        counter!(CALLS, "call" => self.as_str(), "class" => class, "outcome" => outcome)
            .increment(count);
    }
}

/// An error of a call, as its metrics label it.
pub(crate) trait Classed {
    /// Class and label.
    fn class(&self) -> (&'static str, &'static str);
}

impl Classed for CreateError {
    fn class(&self) -> (&'static str, &'static str) {
        match self {
            Self::NotProcessed { why, .. } => ("not_processed", why.label()),
            Self::Unclear(why) => ("unclear", why.label()),
            Self::Refused { reason, .. } => ("refused", reason.label()),
            Self::Account { reason, .. } => ("account", reason.label()),
        }
    }
}

impl Classed for ListError {
    fn class(&self) -> (&'static str, &'static str) {
        match self {
            Self::Unavailable(why) => ("unavailable", why.label()),
            Self::Throttled { .. } => ("not_processed", "throttled"),
            Self::Account { reason, .. } => ("account", reason.label()),
            Self::Unreadable => ("unavailable", "unreadable"),
            Self::TooLong => ("unavailable", "too_long"),
        }
    }
}

impl Classed for MediaError {
    fn class(&self) -> (&'static str, &'static str) {
        let class = match self {
            Self::Forbidden(_) | Self::NotFound | Self::TooLarge { .. } => "refused",
            // For media, Twilio reports only one problem of the account.
            Self::Account { .. } => return ("account", TwilioAccountProblem::Credentials.label()),
            Self::Throttled { .. } => "not_processed",
            Self::Unavailable(_) => "unavailable",
        };
        (class, self.label())
    }
}
