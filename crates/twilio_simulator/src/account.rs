//! The simulated account and its credentials.

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use twilio::AccountSid;

/// One of Twilio's [magic numbers](https://www.twilio.com/docs/iam/test-credentials): every account
/// may send from it.
pub const MAGIC_NUMBER: &str = "+15005550006";

/// An account at the simulated Twilio.
#[derive(Debug, Clone)]
pub struct SimulatedAccount {
    /// The account's SID.
    pub sid: AccountSid,
    /// The auth token: it signs callbacks and webhooks, and is a password of the API.
    pub auth_token: SecretString,
    /// API keys, each with its secret: more passwords of the API.
    pub keys: Vec<(String, SecretString)>,
    /// The account's phone number. [`MAGIC_NUMBER`] may send as well.
    pub number: String,
    /// The receiver's public URL: signatures cover it, and callbacks must be under it.
    pub public_base_url: String,
    /// The path of the receiver's webhook.
    pub webhook_path: String,
}

impl SimulatedAccount {
    /// The webhook's public URL.
    pub(crate) fn webhook_url(&self) -> String {
        format!("{}{}", self.public_base_url, self.webhook_path)
    }

    /// Whether this `Authorization` header has the account's credentials.
    pub(crate) fn accepts_credentials(&self, authorization: &str) -> bool {
        let login = |username: &str, secret: &SecretString| {
            let pair = STANDARD.encode(format!("{username}:{}", secret.expose_secret()));
            authorization == format!("Basic {pair}")
        };
        login(self.sid.as_str(), &self.auth_token)
            || self.keys.iter().any(|(key, secret)| login(key, secret))
    }

    /// The URL to post a callback to, for a receiver at `target`. None if the callback's own URL is
    /// not under [`Self::public_base_url`].
    pub(crate) fn route(&self, url: &str, target: &str) -> Option<String> {
        let rest = url.strip_prefix(&self.public_base_url)?;
        let rest = rest.split('#').next().unwrap_or(rest);
        (rest.is_empty() || rest.starts_with(['/', '?'])).then(|| format!("{target}{rest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_is_posted_to_the_receiver_only_if_its_url_is_under_the_public_base_url() {
        let account = SimulatedAccount {
            sid: format!("AC{}", "0".repeat(32)).parse().unwrap(),
            auth_token: "a-token".into(),
            keys: Vec::new(),
            number: MAGIC_NUMBER.to_owned(),
            public_base_url: "https://sms.example.com".to_owned(),
            webhook_path: "/webhook".to_owned(),
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
