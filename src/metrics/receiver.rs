//! The metrics of the receiver: webhooks, status callbacks, and the phone number API.

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
        "Time from a webhook's headers to its response"
    );
    describe_histogram!(BATCH_SIZE, Unit::Count, "Messages in one commit");
    describe_counter!(
        SHED,
        Unit::Count,
        "Webhooks that got a 503, by reason: full (too many wait), late (the database took too long), failed"
    );
    describe_counter!(
        STATUS_REPORTS,
        Unit::Count,
        "Status callbacks by outcome: moved, repeated, unknown, or the reason of the refusal"
    );
    describe_counter!(
        API_REQUESTS,
        Unit::Count,
        "Requests to the phone number API by route and outcome: what was done, or the reason of the refusal"
    );
    describe_histogram!(
        API_REQUEST_DURATION,
        Unit::Seconds,
        "Time from a request's headers to its response, by route of the phone number API"
    );
    describe_counter!(
        VERIFICATION_REFUSALS,
        Unit::Count,
        "Refused verification SMS and guesses, by the limit that was used up"
    );
    describe_counter!(
        VERIFICATIONS,
        Unit::Count,
        "Verification steps: asked (a code is sent), right, wrong, no_code (a code was entered where none is valid)"
    );
}

/// Why a webhook got a 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShedReason {
    /// Too many messages wait.
    Full,
    /// The database took too long.
    Late,
    /// Any other error.
    Failed,
}

impl ShedReason {
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
pub(crate) enum VerificationStep {
    /// A user asked for a code, and it is sent.
    Asked,
    /// A user entered the right code.
    Right,
    /// A user entered a wrong code.
    Wrong,
    /// A user entered a code where none is valid.
    NoCode,
}

impl VerificationStep {
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

/// Starts the counters that alerts use at zero, so that Prometheus sees the first increment.
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
    for reason in ShedReason::ALL {
        counter!(SHED, "reason" => reason.as_str()).increment(0);
    }
    counter!(STATUS_REPORTS, "outcome" => "moved").increment(0);
}

/// Starts the counters of the phone number API at zero.
pub(crate) fn start_api() {
    for step in VerificationStep::ALL {
        counter!(VERIFICATIONS, "step" => step.as_str()).increment(0);
    }
    counter!(VERIFICATION_REFUSALS, "limit" => "budget").increment(0);
}

/// Counts a webhook.
pub(crate) fn webhook(outcome: &'static str, took: Duration) {
    counter!(WEBHOOKS, "outcome" => outcome).increment(1);
    histogram!(WEBHOOK_DURATION).record(took);
}

/// Counts a webhook that got a 503.
pub(crate) fn shed(reason: ShedReason) {
    counter!(SHED, "reason" => reason.as_str()).increment(1);
}

/// Records the size of a commit.
pub(crate) fn batch(messages: usize) {
    histogram!(BATCH_SIZE).record(u32::try_from(messages).unwrap_or(u32::MAX));
}

/// Counts a status callback.
pub(crate) fn status_report(outcome: &'static str) {
    counter!(STATUS_REPORTS, "outcome" => outcome).increment(1);
}

/// Counts a request to the API.
pub(crate) fn api_request(route: &'static str, outcome: &'static str, took: Duration) {
    counter!(API_REQUESTS, "route" => route, "outcome" => outcome).increment(1);
    histogram!(API_REQUEST_DURATION, "route" => route).record(took);
}

/// Counts an SMS or a guess that a limit refused.
pub(crate) fn verification_refused(limit: &'static str) {
    counter!(VERIFICATION_REFUSALS, "limit" => limit).increment(1);
}

/// Counts a verification step.
pub(crate) fn verification(step: VerificationStep) {
    counter!(VERIFICATIONS, "step" => step.as_str()).increment(1);
}
