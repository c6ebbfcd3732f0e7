//! The settings of the recovery of messages from Twilio.

use jobs::RecoveryNumbers;
use store::E164;
use twilio::{AccountSid, rest::Credentials};
use url::Url;

use super::{
    parse::{list, on_off},
    reader::Reader,
    receiver::public_base_url,
    sending::WEBHOOK_PATH,
    twilio_account::TwilioConfig,
};

/// How messages that no webhook brought are recovered.
#[derive(Debug, Clone)]
pub struct RecoveryConfig {
    /// `TWILIO_API_BASE_URL`.
    pub api_base_url: Url,
    /// `TWILIO_ACCOUNT_SID` and the first of `TWILIO_AUTH_TOKEN`.
    pub credentials: Credentials,
    /// `TWILIO_ACCOUNT_SID`.
    pub account: AccountSid,
    /// `RECOVERY_NUMBERS`, or the numbers that point at the webhook under `PUBLIC_BASE_URL`.
    pub numbers: RecoveryNumbers,
}

impl RecoveryConfig {
    /// Reads the settings: `Some(None)` where recovery is off, or where nothing says which numbers
    /// are ours.
    pub fn read(r: &mut Reader<'_>) -> Option<Option<Self>> {
        if !r.required("RECOVERY", on_off)? {
            return Some(None);
        }
        let numbers = r.optional("RECOVERY_NUMBERS", |text| list(text, number))?;
        let numbers = match numbers {
            Some(numbers) => RecoveryNumbers::These(numbers),
            None if r.text("PUBLIC_BASE_URL").is_none() => return Some(None),
            None => RecoveryNumbers::PointingAt(format!("{}{WEBHOOK_PATH}", public_base_url(r)?)),
        };
        let twilio = TwilioConfig::read(r)?;
        Some(Some(Self {
            credentials: twilio.credentials()?,
            api_base_url: twilio.api_base_url,
            account: twilio.account_sid,
            numbers,
        }))
    }
}

fn number(text: &str) -> Result<String, String> {
    E164::parse(text)
        .map(|number| number.as_str().to_owned())
        .map_err(|_| "it must be in E.164: + and digits, such as +15551234567".to_owned())
}
