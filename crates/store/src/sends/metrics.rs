//! The metrics of SMS, for every process that moves a send.

use metrics::{Unit, counter, describe_counter};

use super::purpose::Purpose;
use super::state::SendState;

const SENDS_ENDED: &str = "pigeonhole_sends_ended_total";

/// Describes the metrics.
pub fn describe_metrics() {
    describe_counter!(
        SENDS_ENDED,
        Unit::Count,
        "SMS that have ended, by purpose and state: delivered, undelivered, failed. An SMS that failed may still be \
         delivered; then it counts as both"
    );
}

/// Sets the counters to zero, so that a dashboard sees the first increment.
pub fn start_sends() {
    for purpose in Purpose::ALL {
        for state in SendState::ENDS {
            counter!(SENDS_ENDED, "purpose" => purpose.as_str(), "state" => state.as_str())
                .increment(0);
        }
    }
}

/// Counts an SMS that has moved to this state, if the state is an end.
pub fn send_moved(purpose: Purpose, state: SendState) {
    if state.is_end() {
        counter!(SENDS_ENDED, "purpose" => purpose.as_str(), "state" => state.as_str())
            .increment(1);
    }
}
