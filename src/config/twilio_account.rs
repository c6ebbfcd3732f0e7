//! The settings of the account at Twilio.

use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use store::E164;
use twilio::{AccountSid, rest::Credentials, signature::AuthTokens};
use url::Url;

use super::{parse::http_url, reader::Reader};

/// The account at Twilio.
#[derive(Debug, Clone)]
pub struct TwilioConfig {
    /// `TWILIO_ACCOUNT_SID`: webhooks of other accounts are refused.
    pub account_sid: AccountSid,
    /// `TWILIO_AUTH_TOKEN`: the tokens that webhooks may be signed with. The first one is the
    /// account's own.
    pub auth_tokens: Vec<SecretString>,
    /// `TWILIO_AUTH_TOKENS_RETIRED`: for diagnosis only.
    pub retired_tokens: Vec<SecretString>,
    /// `TWILIO_PHONE_NUMBER`, in E.164.
    pub phone_number: Option<E164>,
    /// `TWILIO_API_BASE_URL`.
    pub api_base_url: Url,
}

impl TwilioConfig {
    /// Reads the settings.
    pub fn read(r: &mut Reader<'_>) -> Option<Self> {
        let account_sid = r.required("TWILIO_ACCOUNT_SID", |text| {
            AccountSid::from_str(text).map_err(|_| {
                "must be AC and 32 hexadecimal digits, as the Twilio console shows it".into()
            })
        });
        let auth_tokens = r.required("TWILIO_AUTH_TOKEN", tokens);
        let retired_tokens = r.optional("TWILIO_AUTH_TOKENS_RETIRED", tokens);
        let phone_number = phone_number(r);
        let api_base_url = r.required("TWILIO_API_BASE_URL", http_url);
        Some(Self {
            account_sid: account_sid?,
            auth_tokens: auth_tokens?,
            retired_tokens: retired_tokens?.unwrap_or_default(),
            phone_number: phone_number?,
            api_base_url: api_base_url?,
        })
    }

    /// The credentials for Twilio's REST API.
    pub(super) fn credentials(&self) -> Option<Credentials> {
        Some(Credentials {
            username: self.account_sid.to_string(),
            account: self.account_sid.clone(),
            secret: self.auth_tokens.first()?.clone(),
        })
    }
}

/// `TWILIO_PHONE_NUMBER`.
#[expect(
    clippy::option_option,
    reason = "a setting that is missing differs from one that is wrong"
)]
pub(super) fn phone_number(r: &mut Reader<'_>) -> Option<Option<E164>> {
    r.optional("TWILIO_PHONE_NUMBER", |text| {
        E164::parse(text).map_err(|_| "must be in E.164: + and digits, such as +15551234567".into())
    })
}

fn tokens(text: &str) -> Result<Vec<SecretString>, String> {
    let tokens: Vec<SecretString> = text
        .split(',')
        .map(|token| SecretString::from(token.trim().to_owned()))
        .collect();
    if tokens
        .iter()
        .any(|token| token.expose_secret().starts_with("SK"))
    {
        return Err(
            "is the SID of an API key. API keys never sign webhooks: take the account's auth token"
                .into(),
        );
    }
    AuthTokens::new(tokens.clone()).map_err(|error| format!("is not usable: {error}"))?;
    Ok(tokens)
}
