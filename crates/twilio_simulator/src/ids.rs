//! Random ids, phone numbers and the clock.

use chrono::{DateTime, Utc};

/// 32 random hexadecimal digits: what follows the two letters of a SID.
pub(crate) fn random_hex() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Whether the text has the form of an E.164 number: a plus and 8 to 15 digits.
pub(crate) fn is_phone_number(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (8..=15).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0')
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "Twilio has a clock of its own, which is not our database's"
)]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}
