//! The settings of sending SMS.

use twilio::rest::{Credentials, Sender};
use url::Url;

use super::{
    reader::Reader,
    receiver::public_base_url,
    twilio_account::{TwilioConfig, phone_number},
};

/// The path under `PUBLIC_BASE_URL` where Twilio delivers messages.
pub const WEBHOOK_PATH: &str = "/api/sms/webhook";

/// The path under `PUBLIC_BASE_URL` where Twilio sends status callbacks.
pub const STATUS_PATH: &str = "/api/sms/status";

/// How SMS are sent.
#[derive(Debug, Clone)]
pub struct SendingConfig {
    /// `TWILIO_API_BASE_URL`.
    pub api_base_url: Url,
    /// `TWILIO_ACCOUNT_SID` and the first of `TWILIO_AUTH_TOKEN`.
    pub credentials: Credentials,
    /// `TWILIO_MESSAGING_SERVICE_SID`, else `TWILIO_PHONE_NUMBER`.
    pub sender: Sender,
    /// The URL for Twilio's status callbacks, under `PUBLIC_BASE_URL`.
    pub status_callback: String,
}

impl SendingConfig {
    /// Reads the settings: `Some(None)` where there is no sender, so no SMS can be sent.
    pub fn read(r: &mut Reader<'_>) -> Option<Option<Self>> {
        let Some(sender) = sender(r)? else {
            return Some(None);
        };
        let (twilio, base) = (TwilioConfig::read(r), public_base_url(r));
        let (twilio, base) = (twilio?, base?);
        Some(Some(Self {
            credentials: twilio.credentials()?,
            api_base_url: twilio.api_base_url,
            sender,
            status_callback: format!("{base}{STATUS_PATH}"),
        }))
    }
}

/// The sender of SMS, if one is set.
#[expect(
    clippy::option_option,
    reason = "a setting that is missing differs from one that is wrong"
)]
fn sender(r: &mut Reader<'_>) -> Option<Option<Sender>> {
    let service = r.optional("TWILIO_MESSAGING_SERVICE_SID", |text| {
        let digits = text.strip_prefix("MG").unwrap_or("");
        if digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(text.to_owned())
        } else {
            Err("must be MG and 32 hexadecimal digits, as the Twilio console shows it".to_owned())
        }
    })?;
    if let Some(service) = service {
        return Some(Some(Sender::MessagingService(service)));
    }
    let number = phone_number(r)?;
    Some(number.map(|number| Sender::Number(number.as_str().to_owned())))
}
