//! The account that is played, and who may use it.

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use twilio::AccountSid;

use crate::config::ReceiverConfig;

/// What Twilio knows of an account.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its SID.
    pub sid: AccountSid,
    /// Its auth token: signs callbacks, and lets requests in.
    pub auth_token: SecretString,
    /// API keys, each with its secret: let requests in, too.
    pub keys: Vec<(String, SecretString)>,
    /// Its phone number. The magic `+15005550006` sends as well.
    pub number: String,
    /// `PUBLIC_BASE_URL`: where callbacks seem to go.
    pub public_base_url: String,
}

impl Account {
    /// The account that a receiver is configured for. It has no API keys yet.
    pub fn of(config: &ReceiverConfig) -> anyhow::Result<Self> {
        let token = config.twilio.auth_tokens.first().context("no auth token")?;
        let number = config.twilio.phone_number.as_ref();
        Ok(Self {
            sid: config.twilio.account_sid.clone(),
            auth_token: token.clone(),
            keys: Vec::new(),
            number: number
                .map_or("+15005550006", |number| number.as_str())
                .to_owned(),
            public_base_url: config.public_base_url.clone(),
        })
    }

    /// Does this `Authorization` header let its bearer in?
    pub(super) fn lets_in(&self, authorization: &str) -> bool {
        let login = |username: &str, secret: &SecretString| {
            let pair = STANDARD.encode(format!("{username}:{}", secret.expose_secret()));
            authorization == format!("Basic {pair}")
        };
        login(self.sid.as_str(), &self.auth_token)
            || self.keys.iter().any(|(key, secret)| login(key, secret))
    }

    /// Where a callback to this URL is really requested, if the receiver is at `target`.
    pub(super) fn route(&self, url: &str, target: &str) -> Option<String> {
        let rest = url.strip_prefix(&self.public_base_url)?;
        let rest = rest.split('#').next().unwrap_or(rest);
        (rest.is_empty() || rest.starts_with(['/', '?'])).then(|| format!("{target}{rest}"))
    }
}
