//! The finding for an error of Twilio's API.

use ::twilio::rest::{AskError, TwilioAccountProblem};

use super::finding::Finding;

pub(super) const COPY_TOKEN: &str =
    "copy the auth token from Twilio's console (Account, API keys & tokens) into TWILIO_AUTH_TOKEN";

pub(super) const SEE_CONSOLE: &str =
    "open Twilio's console to see why; the most common reason is a negative balance";

pub(super) fn finding_of(check: &'static str, error: AskError) -> Finding {
    let says = format!("{error}");
    match error {
        AskError::NoConnection => Finding::fault(
            check,
            says,
            "allow HTTPS and DNS from this machine to api.twilio.com and messaging.twilio.com; see also \
             TWILIO_API_BASE_URL",
        ),
        AskError::Refused {
            reason: TwilioAccountProblem::Suspended,
            ..
        } => Finding::fault(check, says, SEE_CONSOLE),
        AskError::Refused { .. } => Finding::fault(check, says, COPY_TOKEN),
        AskError::Unreadable => Finding::fault(
            check,
            says,
            "set TWILIO_API_BASE_URL to https://api.twilio.com, or remove the setting",
        ),
        AskError::Unavailable(_) | AskError::Throttled | AskError::NotThere => {
            Finding::unchecked(check, format!("could not be checked: {says}"))
        }
    }
}
