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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_goes_to_the_receiver_if_its_url_is_under_the_public_one_and_else_nowhere() {
        let account = Account {
            sid: format!("AC{}", "0".repeat(32)).parse().unwrap(),
            auth_token: "a-token".into(),
            keys: Vec::new(),
            number: "+15005550006".to_owned(),
            public_base_url: "https://sms.example.com".to_owned(),
        };
        for (rest, expected) in [
            ("/status?send=a%20b", Some("/status?send=a%20b")),
            ("/status?a=1#rc=3", Some("/status?a=1")),
            ("?a=1", Some("?a=1")),
            ("", Some("")),
            (".evil.example.com/", None),
            ("@evil.example.com/", None),
            (":8443/status", None),
        ] {
            let url = format!("https://sms.example.com{rest}");
            let expected = expected.map(|rest| format!("http://127.0.0.1:3000{rest}"));
            assert_eq!(account.route(&url, "http://127.0.0.1:3000"), expected);
        }
        assert_eq!(account.route("http://127.0.0.1:3000/", "http://x"), None);
    }
}
