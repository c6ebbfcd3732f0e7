//! The delivery of an SMS, in words for the user who waits for it.

use store::sends::{SendProgress, SendState};

use super::schema::{DeliveryState, SmsDelivery};

/// The delivery as its user sees it.
pub(super) fn of(progress: &SendProgress) -> SmsDelivery {
    let state = match progress.state {
        SendState::Pending | SendState::Sending | SendState::Unknown => DeliveryState::Pending,
        SendState::Sent => DeliveryState::Sent,
        SendState::Delivered => DeliveryState::Delivered,
        SendState::Undelivered | SendState::Failed => DeliveryState::Failed,
    };
    let reason = (state == DeliveryState::Failed)
        .then(|| words(progress.reason.as_deref().unwrap_or("other")).to_owned());
    SmsDelivery {
        state,
        reason,
        updated_at: progress.updated_at,
    }
}

/// The sentence for each reason of a failed send. Trouble of our own gets the general sentence.
fn words(reason: &str) -> &'static str {
    match reason {
        "invalid_number" | "unknown_number" | "unknown_handset" => "This number does not exist.",
        "not_mobile" | "landline" => "This number cannot receive text messages.",
        "no_route" => "Text messages cannot be sent to this number.",
        "region_not_enabled" => "Text messages cannot be sent to this country.",
        "opted_out" => {
            "This number has opted out of our messages. Send START to us from it, then try again."
        }
        "blocked_as_fraud" | "blocked" => {
            "The message was blocked. Try again later, or use another number."
        }
        "filtered" => "The operator rejected the message. Try again later.",
        "unreachable" => "The phone could not be reached: it may be off or without signal.",
        "expired" => "The message could not be sent in time. Ask for a new code.",
        "cancelled" => "The message was cancelled.",
        _ => "The message could not be sent. Try again later.",
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use twilio::status::reason;

    use super::*;

    fn progress(state: SendState, reason: Option<&str>) -> SendProgress {
        SendProgress {
            state,
            reason: reason.map(str::to_owned),
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn only_failed_sends_have_a_reason_and_each_has_one() {
        for state in [
            SendState::Pending,
            SendState::Sending,
            SendState::Unknown,
            SendState::Sent,
            SendState::Delivered,
        ] {
            assert_eq!(of(&progress(state, Some("filtered"))).reason, None);
        }
        for state in [SendState::Undelivered, SendState::Failed] {
            let none = of(&progress(state, None));
            assert_eq!(none.state, DeliveryState::Failed);
            assert!(none.reason.is_some());
        }
    }

    #[test]
    fn twilios_error_codes_become_plain_sentences() {
        let sentence = |code| {
            of(&progress(SendState::Failed, Some(reason(code).label())))
                .reason
                .unwrap()
        };
        assert!(sentence(30003).contains("could not be reached"));
        assert!(sentence(30005).contains("does not exist"));
        assert!(sentence(30006).contains("cannot receive text messages"));
        assert!(sentence(21610).contains("START"));
        assert!(sentence(30002).contains("Try again later")); // users do not learn that our account is suspended
    }
}
