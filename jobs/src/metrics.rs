//! What jobs measure: every metric of this crate, named here and nowhere else. Labels are words of ours.

use std::time::Duration;

use ::metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use queue::rate_limit::Admission;
use store::{
    inbound_messages::MessageState,
    media::MediaState,
    sends::{Purpose, SendState},
};

use crate::extract::{ExtractError, ExtractedBy};

const MESSAGES_ENDED: &str = "pigeonhole_messages_ended_total";
const MESSAGE_DURATION: &str = "pigeonhole_message_duration_seconds";
const RATE_LIMIT_DECISIONS: &str = "pigeonhole_rate_limit_decisions_total";
const SENDS_ENDED: &str = "pigeonhole_sends_ended_total";
const MEDIA_FILES: &str = "pigeonhole_media_files_total";
const MEDIA_BYTES: &str = "pigeonhole_media_bytes_total";
const MODEL_CALLS: &str = "pigeonhole_model_calls_total";
const EXTRACTIONS: &str = "pigeonhole_extractions_total";
const RETENTION_REMOVED: &str = "pigeonhole_retention_removed_total";

/// Says what each means.
pub fn describe() {
    describe_counter!(
        MESSAGES_ENDED,
        Unit::Count,
        "Messages that have ended, by state"
    );
    describe_histogram!(
        MESSAGE_DURATION,
        Unit::Seconds,
        "From a message's webhook to its end, waiting included; of those that did not fail"
    );
    describe_counter!(
        RATE_LIMIT_DECISIONS,
        Unit::Count,
        "Messages by when their user's rate limit lets them be processed: now, later, refused"
    );
    describe_counter!(
        SENDS_ENDED,
        Unit::Count,
        "SMS that have ended, by purpose and state: delivered, undelivered, failed. One that failed may still be \
         delivered, and then counts as both"
    );
    describe_counter!(
        MEDIA_FILES,
        Unit::Count,
        "Files of messages by what became of them: stored, gone, or why they were refused"
    );
    describe_counter!(
        MEDIA_BYTES,
        Unit::Bytes,
        "Bytes of the files that were stored"
    );
    describe_counter!(
        MODEL_CALLS,
        Unit::Count,
        "Messages that a model was asked about: ok, or why it did not answer"
    );
    describe_counter!(
        EXTRACTIONS,
        Unit::Count,
        "Messages by what found their items: rules, a model, or rules-fallback"
    );
    describe_counter!(
        RETENTION_REMOVED,
        Unit::Count,
        "What was erased or deleted because it was kept for long enough, or is of no more use"
    );
}

/// What retention removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removed {
    /// What messages say.
    MessageTexts,
    /// Rate limits of users who are gone.
    RateLimits,
    /// Files of messages.
    Media,
    /// Objects that no row needs any more.
    MediaObjects,
    /// Claims on numbers, with their codes.
    Claims,
    /// SMS, or their texts.
    Sends,
    /// Events that limits counted.
    LimitEvents,
    /// Answers to requests that might have been repeated.
    Answers,
}

impl Removed {
    const ALL: [Self; 8] = [
        Self::MessageTexts,
        Self::RateLimits,
        Self::Media,
        Self::MediaObjects,
        Self::Claims,
        Self::Sends,
        Self::LimitEvents,
        Self::Answers,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::MessageTexts => "message_texts",
            Self::RateLimits => "rate_limits",
            Self::Media => "media",
            Self::MediaObjects => "media_objects",
            Self::Claims => "claims",
            Self::Sends => "sends",
            Self::LimitEvents => "limit_events",
            Self::Answers => "answers",
        }
    }
}

/// Counts from zero what a worker counts, so that the first of each is seen to rise.
pub(crate) fn start() {
    for state in MessageState::ALL {
        if state != MessageState::Received {
            counter!(MESSAGES_ENDED, "state" => state.as_str()).increment(0);
        }
    }
    start_sends();
    for decision in ["now", "later", "refused"] {
        counter!(RATE_LIMIT_DECISIONS, "decision" => decision).increment(0);
    }
    counter!(MEDIA_FILES, "outcome" => MediaState::Stored.label()).increment(0);
    counter!(MEDIA_BYTES).increment(0);
    counter!(MODEL_CALLS, "outcome" => "ok").increment(0);
    for what in Removed::ALL {
        removed(what, 0);
    }
}

/// Counts from zero what becomes of SMS: for whoever learns of it.
pub fn start_sends() {
    for purpose in Purpose::ALL {
        for state in SendState::ENDS {
            counter!(SENDS_ENDED, "purpose" => purpose.as_str(), "state" => state.as_str())
                .increment(0);
        }
    }
}

/// Messages have ended like this.
pub(crate) fn messages_ended(state: MessageState, count: u64) {
    counter!(MESSAGES_ENDED, "state" => state.as_str()).increment(count);
}

/// A message that came in so long ago has ended.
pub(crate) fn message_took(took: Duration) {
    histogram!(MESSAGE_DURATION).record(took);
}

/// A message was given its place within its user's limit, or none.
pub(crate) fn rate_limit(admission: Admission) {
    let decision = match admission {
        Admission::Now => "now",
        Admission::At { .. } => "later",
        Admission::Refused { .. } => "refused",
    };
    counter!(RATE_LIMIT_DECISIONS, "decision" => decision).increment(1);
}

/// An SMS has come so far. Only the ends are counted.
pub fn send_moved(purpose: Purpose, state: SendState) {
    if state.is_end() {
        counter!(SENDS_ENDED, "purpose" => purpose.as_str(), "state" => state.as_str())
            .increment(1);
    }
}

/// A file has come so far as it can.
pub(crate) fn media_file(state: MediaState, bytes: Option<u64>) {
    counter!(MEDIA_FILES, "outcome" => state.label()).increment(1);
    if state == MediaState::Stored {
        counter!(MEDIA_BYTES).increment(bytes.unwrap_or(0));
    }
}

/// A model was asked about a message.
pub(crate) fn model_call(error: Option<&ExtractError>) {
    let outcome = error.map_or("ok", ExtractError::label);
    counter!(MODEL_CALLS, "outcome" => outcome).increment(1);
}

/// A message's items were found.
pub(crate) fn extraction(by: ExtractedBy) {
    counter!(EXTRACTIONS, "by" => by.label()).increment(1);
}

/// So many of these were removed.
pub(crate) fn removed(what: Removed, count: u64) {
    counter!(RETENTION_REMOVED, "what" => what.as_str()).increment(count);
}
