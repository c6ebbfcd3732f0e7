//! What the receiver measures: webhooks, reports, and the phone number API.

use std::time::Duration;

use ::metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use twilio::diagnosis::Mistake;

const WEBHOOKS: &str = "pigeonhole_receiver_webhooks_total";
const WEBHOOK_DURATION: &str = "pigeonhole_receiver_webhook_duration_seconds";
const BATCH_SIZE: &str = "pigeonhole_receiver_batch_size";
const SHED: &str = "pigeonhole_receiver_shed_total";
const STATUS_REPORTS: &str = "pigeonhole_receiver_status_reports_total";
const API_REQUESTS: &str = "pigeonhole_api_requests_total";
const API_REQUEST_DURATION: &str = "pigeonhole_api_request_duration_seconds";
const VERIFICATION_REFUSALS: &str = "pigeonhole_verification_refusals_total";
const VERIFICATIONS: &str = "pigeonhole_verifications_total";

pub(super) fn describe() {
    describe_counter!(
        WEBHOOKS,
        Unit::Count,
        "Webhooks by outcome: accepted, duplicate, or the reason of the refusal"
    );
    describe_histogram!(
        WEBHOOK_DURATION,
        Unit::Seconds,
        "From a webhook's headers to its answer"
    );
    describe_histogram!(
        BATCH_SIZE,
        Unit::Count,
        "Messages that were committed together"
    );
    describe_counter!(
        SHED,
        Unit::Count,
        "Webhooks answered 503, by reason: full (too many wait), late (the database did not answer in time), failed"
    );
    describe_counter!(
        STATUS_REPORTS,
        Unit::Count,
        "Twilio's reports on SMS by outcome: moved, repeated, unknown, or the reason of the refusal"
    );
    describe_counter!(
        API_REQUESTS,
        Unit::Count,
        "Requests to the phone number API by route and outcome, which is what was done or the reason of the refusal"
    );
    describe_histogram!(
        API_REQUEST_DURATION,
        Unit::Seconds,
        "From a request's headers to its answer, by route of the phone number API"
    );
    describe_counter!(
        VERIFICATION_REFUSALS,
        Unit::Count,
        "Verification SMS and guesses that were refused, by the limit that was used up"
    );
    describe_counter!(
        VERIFICATIONS,
        Unit::Count,
        "Steps of verifications: a code was asked for, or what was entered was right, wrong, or for no code that is good"
    );
}

/// Why a webhook was answered 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shed {
    /// Too many wait.
    Full,
    /// The database did not answer in time.
    Late,
    /// Something else is wrong.
    Failed,
}

impl Shed {
    const ALL: [Self; 3] = [Self::Full, Self::Late, Self::Failed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Late => "late",
            Self::Failed => "failed",
        }
    }
}

/// A step of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A code was asked for, and is sent.
    Asked,
    /// The right code was entered.
    Right,
    /// A wrong one.
    Wrong,
    /// Something was entered where no code is good.
    NoCode,
}

impl Step {
    const ALL: [Self; 4] = [Self::Asked, Self::Right, Self::Wrong, Self::NoCode];

    fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Right => "right",
            Self::Wrong => "wrong",
            Self::NoCode => "no_code",
        }
    }
}

/// Counts from zero what a receiver counts and alerts look at, so that the first of each is seen to rise.
pub(crate) fn start() {
    let signature = [
        "signature_missing",
        "not_a_signature",
        "mismatch",
        "body_hash_missing",
        "body_hash_mismatch",
    ];
    let outcomes = ["accepted", "duplicate"].into_iter().chain(signature);
    for outcome in outcomes.chain(Mistake::ALL.map(Mistake::label)) {
        counter!(WEBHOOKS, "outcome" => outcome).increment(0);
    }
    for reason in Shed::ALL {
        counter!(SHED, "reason" => reason.as_str()).increment(0);
    }
    counter!(STATUS_REPORTS, "outcome" => "moved").increment(0);
}

/// The same for the phone number API.
pub(crate) fn start_api() {
    for step in Step::ALL {
        counter!(VERIFICATIONS, "step" => step.as_str()).increment(0);
    }
    counter!(VERIFICATION_REFUSALS, "limit" => "budget").increment(0);
}

/// A webhook was answered.
pub(crate) fn webhook(outcome: &'static str, took: Duration) {
    counter!(WEBHOOKS, "outcome" => outcome).increment(1);
    histogram!(WEBHOOK_DURATION).record(took);
}

/// A webhook was answered 503.
pub(crate) fn shed(reason: Shed) {
    counter!(SHED, "reason" => reason.as_str()).increment(1);
}

/// So many messages are committed together.
pub(crate) fn batch(messages: usize) {
    histogram!(BATCH_SIZE).record(u32::try_from(messages).unwrap_or(u32::MAX));
}

/// A report was answered.
pub(crate) fn status_report(outcome: &'static str) {
    counter!(STATUS_REPORTS, "outcome" => outcome).increment(1);
}

/// A request to the API was answered.
pub(crate) fn api_request(route: &'static str, outcome: &'static str, took: Duration) {
    counter!(API_REQUESTS, "route" => route, "outcome" => outcome).increment(1);
    histogram!(API_REQUEST_DURATION, "route" => route).record(took);
}

/// A limit has refused an SMS or a guess.
pub(crate) fn verification_refused(limit: &'static str) {
    counter!(VERIFICATION_REFUSALS, "limit" => limit).increment(1);
}

/// A verification has come a step further, or not.
pub(crate) fn verification(step: Step) {
    counter!(VERIFICATIONS, "step" => step.as_str()).increment(1);
}
