//! The settings of verification SMS: their text, the countries they may go to, and their limits.

use std::time::Duration;

use super::{
    parse::{limit, list},
    reader::Reader,
};
use crate::country::Country;

/// The GSM alphabet (3GPP TS 23.038) without ASCII letters and digits, and without line breaks.
const GSM: &str = "@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ¤¡ÄÖÑÜ§¿äöñüà !\"#%&'()*+,-./:;<=>?";

/// Its extension table: each character counts as two.
const GSM_EXTENSION: &str = "^{}\\[~]|€";

/// Verification SMS.
#[derive(Debug, Clone)]
pub struct VerificationConfig {
    /// `VERIFICATION_CODE_EXPIRY_MINUTES`.
    pub code_life: Duration,
    /// `VERIFICATION_MESSAGE`, which holds `{code}`.
    pub message: String,
    /// `VERIFICATION_COUNTRIES`.
    pub countries: Vec<Country>,
    /// `VERIFICATION_IP_HOURLY_LIMIT`.
    pub per_ip: u32,
    /// `VERIFICATION_PREFIX_HOURLY_LIMIT`.
    pub per_prefix: u32,
    /// `VERIFICATION_COUNTRY_HOURLY_LIMIT`.
    pub per_country: u32,
    /// `VERIFICATION_DAILY_BUDGET`.
    pub per_day: u32,
}

impl VerificationConfig {
    /// Reads the settings.
    pub fn read(r: &mut Reader<'_>) -> Option<Self> {
        let code_life = r.required("VERIFICATION_CODE_EXPIRY_MINUTES", |text| {
            match text.parse() {
                Ok(minutes @ 1..=60) => Ok(Duration::from_mins(minutes)),
                _ => Err("must be a number of minutes from 1 to 60".to_owned()),
            }
        });
        let message = r.required("VERIFICATION_MESSAGE", message);
        let countries = r.required("VERIFICATION_COUNTRIES", |text| list(text, country));
        let per_ip = r.required("VERIFICATION_IP_HOURLY_LIMIT", limit);
        let per_prefix = r.required("VERIFICATION_PREFIX_HOURLY_LIMIT", limit);
        let per_country = r.required("VERIFICATION_COUNTRY_HOURLY_LIMIT", limit);
        let per_day = r.required("VERIFICATION_DAILY_BUDGET", limit);
        Some(Self {
            code_life: code_life?,
            message: message?,
            countries: countries?,
            per_ip: per_ip?,
            per_prefix: per_prefix?,
            per_country: per_country?,
            per_day: per_day?,
        })
    }

    /// The text of the SMS with this code.
    pub(crate) fn text(&self, code: &str, minutes: u64) -> String {
        fill_in(&self.message, code, minutes)
    }
}

fn fill_in(message: &str, code: &str, minutes: u64) -> String {
    message
        .replace("{code}", code)
        .replace("{minutes}", &minutes.to_string())
}

fn message(text: &str) -> Result<String, String> {
    if !text.contains("{code}") {
        return Err("must contain {code}, where the code is filled in".to_owned());
    }
    let filled_in = fill_in(text, "000000", 60);
    if filled_in.contains(['{', '}']) {
        return Err("may hold {code} and {minutes}, and no other braces".to_owned());
    }
    if filled_in.chars().any(char::is_control) || !fits_one_sms(&filled_in) {
        return Err(
            "must fit one SMS when filled in, on one line: 160 characters, or 70 if one of them is not of the \
             GSM alphabet, such as a curly quote or an emoji"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

fn country(text: &str) -> Result<Country, String> {
    Country::parse(text).ok_or_else(|| {
        "it must be the two letters of a country, as in ISO 3166, such as US".to_owned()
    })
}

/// Whether the text fits one SMS. A longer one is sent, and paid for, as several.
fn fits_one_sms(text: &str) -> bool {
    let length = |c: char| match c {
        c if c.is_ascii_alphanumeric() || GSM.contains(c) => Some(1),
        c if GSM_EXTENSION.contains(c) => Some(2),
        _ => None,
    };
    match text.chars().map(length).sum::<Option<usize>>() {
        Some(length) => length <= 160,
        None => text.encode_utf16().count() <= 70,
    }
}
