//! Every metric of this crate. Labels come from closed sets.

use std::time::Duration;

use ::metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use queue::rate_limit::Admission;
use store::{
    inbound_messages::{MessageSource, MessageState},
    media::MediaState,
    recovery::UnrecoverableReason,
    sends,
};

use crate::extract::{ExtractError, ExtractedBy};

const MESSAGES_ENDED: &str = "pigeonhole_messages_ended_total";
const MESSAGE_DURATION: &str = "pigeonhole_message_duration_seconds";
const RATE_LIMIT_DECISIONS: &str = "pigeonhole_rate_limit_decisions_total";
const MEDIA_FILES: &str = "pigeonhole_media_files_total";
const MEDIA_BYTES: &str = "pigeonhole_media_bytes_total";
const MODEL_CALLS: &str = "pigeonhole_model_calls_total";
const EXTRACTIONS: &str = "pigeonhole_extractions_total";
const RETENTION_REMOVED: &str = "pigeonhole_retention_removed_total";
const RECOVERED: &str = "pigeonhole_messages_recovered_total";
const UNRECOVERABLE: &str = "pigeonhole_messages_unrecoverable_total";
const LOOKS: &str = "pigeonhole_recovery_looks_total";

/// Describes every metric.
pub fn describe() {
    describe_counter!(
        MESSAGES_ENDED,
        Unit::Count,
        "Messages that have ended, by state"
    );
    describe_histogram!(
        MESSAGE_DURATION,
        Unit::Seconds,
        "Time from a message's webhook to its end, waiting included; only messages that did not fail"
    );
    describe_counter!(
        RATE_LIMIT_DECISIONS,
        Unit::Count,
        "Messages by the decision of their user's rate limit: now, later, refused"
    );
    sends::describe_metrics();
    describe_counter!(
        MEDIA_FILES,
        Unit::Count,
        "Files of messages by outcome: stored, gone, or the reason of a refusal"
    );
    describe_counter!(MEDIA_BYTES, Unit::Bytes, "Bytes of stored files");
    describe_counter!(
        MODEL_CALLS,
        Unit::Count,
        "Requests to a model by outcome: ok, or the error"
    );
    describe_counter!(
        EXTRACTIONS,
        Unit::Count,
        "Messages by what extracted their items: rules, a model, or rules-fallback"
    );
    describe_counter!(
        RETENTION_REMOVED,
        Unit::Count,
        "Rows and objects that cleanup jobs erased or deleted, by kind"
    );
    describe_counter!(
        RECOVERED,
        Unit::Count,
        "Messages that no webhook brought and that were recovered from Twilio, by source (list, alert) and the error \
         code of the webhook: unknown without an alert, other if it is rare"
    );
    describe_counter!(
        UNRECOVERABLE,
        Unit::Count,
        "Messages that no webhook brought and that cannot be recovered, by reason: redacted, unreadable"
    );
    describe_counter!(
        LOOKS,
        Unit::Count,
        "Looks for messages at Twilio that no webhook brought, by outcome"
    );
}

/// What cleanup jobs remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removed {
    /// The texts of messages.
    MessageTexts,
    /// Rate limits of deleted users.
    RateLimits,
    /// Files of messages.
    Media,
    /// Objects that no row needs.
    MediaObjects,
    /// Pending verifications of numbers, with their codes.
    PendingVerifications,
    /// SMS, or their texts.
    Sends,
    /// Events that limits counted.
    LimitEvents,
    /// Idempotency keys with the responses stored under them.
    IdempotencyKeys,
}

impl Removed {
    const ALL: [Self; 8] = [
        Self::MessageTexts,
        Self::RateLimits,
        Self::Media,
        Self::MediaObjects,
        Self::PendingVerifications,
        Self::Sends,
        Self::LimitEvents,
        Self::IdempotencyKeys,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::MessageTexts => "message_texts",
            Self::RateLimits => "rate_limits",
            Self::Media => "media",
            Self::MediaObjects => "media_objects",
            Self::PendingVerifications => "pending_verifications",
            Self::Sends => "sends",
            Self::LimitEvents => "limit_events",
            Self::IdempotencyKeys => "idempotency_keys",
        }
    }
}

/// How a look for messages at Twilio ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LookOutcome {
    /// It has seen all that there was to see.
    Complete,
    /// No number of the account points at us.
    NoNumbers,
    /// Twilio has had too many requests.
    Throttled,
    /// Twilio cannot be reached.
    Unavailable,
    /// Twilio refuses our account.
    Refused,
    /// Twilio's answer cannot be read.
    Unreadable,
    /// Our database failed.
    Database,
}

impl LookOutcome {
    const ALL: [Self; 7] = [
        Self::Complete,
        Self::NoNumbers,
        Self::Throttled,
        Self::Unavailable,
        Self::Refused,
        Self::Unreadable,
        Self::Database,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::NoNumbers => "no_numbers",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Unreadable => "unreadable",
            Self::Database => "database",
        }
    }
}

/// The error codes of failed webhooks that are labels, with the text of each.
const ERROR_CODES: [(u32, &str); 11] = [
    (11200, "11200"),
    (11205, "11205"),
    (11206, "11206"),
    (11210, "11210"),
    (11215, "11215"),
    (11220, "11220"),
    (11235, "11235"),
    (11236, "11236"),
    (11237, "11237"),
    (11750, "11750"),
    (12300, "12300"),
];

/// The label of a webhook's error code.
fn error_label(code: Option<u32>) -> &'static str {
    let Some(code) = code else {
        return "unknown";
    };
    let known = ERROR_CODES.iter().find(|(known, _)| *known == code);
    known.map_or("other", |(_, label)| label)
}

/// Sets every counter of a worker to zero, so that a dashboard sees the first increment.
pub(crate) fn start() {
    for state in MessageState::ALL {
        if state != MessageState::Received {
            counter!(MESSAGES_ENDED, "state" => state.as_str()).increment(0);
        }
    }
    sends::start_sends();
    for decision in ["now", "later", "refused"] {
        counter!(RATE_LIMIT_DECISIONS, "decision" => decision).increment(0);
    }
    counter!(MEDIA_FILES, "outcome" => MediaState::Stored.label()).increment(0);
    counter!(MEDIA_BYTES).increment(0);
    counter!(MODEL_CALLS, "outcome" => "ok").increment(0);
    for what in Removed::ALL {
        removed(what, 0);
    }
    let codes = ERROR_CODES.map(|(code, _)| Some(code));
    for code in codes.into_iter().chain([None, Some(0)]) {
        for source in [MessageSource::List, MessageSource::Alert] {
            let code = error_label(code);
            counter!(RECOVERED, "source" => source.as_str(), "error_code" => code).increment(0);
        }
    }
    for reason in UnrecoverableReason::ALL {
        counter!(UNRECOVERABLE, "reason" => reason.as_str()).increment(0);
    }
    for outcome in LookOutcome::ALL {
        counter!(LOOKS, "outcome" => outcome.as_str()).increment(0);
    }
}

/// Counts a message that was recovered, and why its webhook failed.
pub(crate) fn recovered(source: MessageSource, error_code: Option<u32>) {
    let code = error_label(error_code);
    counter!(RECOVERED, "source" => source.as_str(), "error_code" => code).increment(1);
}

/// Counts a message that cannot be recovered.
pub(crate) fn unrecoverable(reason: UnrecoverableReason) {
    counter!(UNRECOVERABLE, "reason" => reason.as_str()).increment(1);
}

/// Counts a look for messages at Twilio.
pub(crate) fn look(outcome: LookOutcome) {
    counter!(LOOKS, "outcome" => outcome.as_str()).increment(1);
}

/// Counts messages that have ended in this state.
pub(crate) fn messages_ended(state: MessageState, count: u64) {
    counter!(MESSAGES_ENDED, "state" => state.as_str()).increment(count);
}

/// Records how long a message took, from its webhook to its end.
pub(crate) fn message_took(took: Duration) {
    histogram!(MESSAGE_DURATION).record(took);
}

/// Counts a decision of a user's rate limit.
pub(crate) fn rate_limit(admission: Admission) {
    let decision = match admission {
        Admission::Now => "now",
        Admission::At { .. } => "later",
        Admission::Refused { .. } => "refused",
    };
    counter!(RATE_LIMIT_DECISIONS, "decision" => decision).increment(1);
}

/// Counts a file that has ended in this state.
pub(crate) fn media_file(state: MediaState, bytes: Option<u64>) {
    counter!(MEDIA_FILES, "outcome" => state.label()).increment(1);
    if state == MediaState::Stored {
        counter!(MEDIA_BYTES).increment(bytes.unwrap_or(0));
    }
}

/// Counts a request to a model.
pub(crate) fn model_call(error: Option<&ExtractError>) {
    let outcome = error.map_or("ok", ExtractError::label);
    counter!(MODEL_CALLS, "outcome" => outcome).increment(1);
}

/// Counts a message by what extracted its items.
pub(crate) fn extraction(by: ExtractedBy) {
    counter!(EXTRACTIONS, "by" => by.label()).increment(1);
}

/// Counts what a cleanup job has removed.
pub(crate) fn removed(what: Removed, count: u64) {
    counter!(RETENTION_REMOVED, "what" => what.as_str()).increment(count);
}
