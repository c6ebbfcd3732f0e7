//! The account: its status, and the auth token that signs.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::{AskError, Client};

/// The account, as Twilio describes it.
pub struct TwilioAccount {
    /// Whether the account can be used.
    pub status: AccountStatus,
    /// Whether it is a trial account, which sends only to verified numbers.
    pub trial: bool,
    /// The token that signs webhooks, if Twilio shows it.
    primary: Option<SecretString>,
}

/// Whether an account can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountStatus {
    /// It can be used.
    Active,
    /// Twilio has suspended it, often because its balance is used up.
    Suspended,
    /// It is closed permanently.
    Closed,
    /// An unknown status.
    Other,
}

impl TwilioAccount {
    /// Whether this is the primary token, which signs webhooks. `None` if Twilio does not show it.
    pub fn is_primary(&self, token: &SecretString) -> Option<bool> {
        let primary = self.primary.as_ref()?.expose_secret().as_bytes();
        Some(primary.ct_eq(token.expose_secret().as_bytes()).into())
    }
}

impl fmt::Debug for TwilioAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwilioAccount")
            .field("status", &self.status)
            .field("trial", &self.trial)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    auth_token: Option<String>,
}

impl From<Answer> for TwilioAccount {
    fn from(answer: Answer) -> Self {
        // Twilio's documentation shows a text of this kind where it does not tell.
        let is_token =
            |token: &String| token.len() == 32 && token.bytes().all(|b| b.is_ascii_hexdigit());
        Self {
            status: match answer.status.as_str() {
                "active" => AccountStatus::Active,
                "suspended" => AccountStatus::Suspended,
                "closed" => AccountStatus::Closed,
                _ => AccountStatus::Other,
            },
            trial: answer
                .kind
                .is_some_and(|kind| kind.eq_ignore_ascii_case("trial")),
            primary: answer.auth_token.filter(is_token).map(Into::into),
        }
    }
}

impl Client {
    /// Returns the account of our credentials.
    pub async fn account(&self) -> Result<TwilioAccount, AskError> {
        let path = format!("/2010-04-01/Accounts/{}.json", self.0.credentials.account);
        let request = self.0.http.get(self.0.url(&path));
        Ok(self.answer::<Answer>(request).await?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> TwilioAccount {
        serde_json::from_str::<Answer>(json)
            .expect("an answer")
            .into()
    }

    #[test]
    fn the_signing_token_is_known_only_if_twilio_shows_it() {
        let token = "0123456789abcdef0123456789abcdef";
        let told = read(&format!(
            r#"{{"status":"active","type":"Full","auth_token":"{token}"}}"#
        ));
        assert_eq!(told.is_primary(&token.into()), Some(true));
        assert_eq!(told.is_primary(&"another".into()), Some(false));
        for hidden in ["null", r#""""#, r#""********""#, r#""auth_token""#] {
            let account = read(&format!(
                r#"{{"status":"suspended","type":"Trial","auth_token":{hidden}}}"#
            ));
            assert_eq!(account.is_primary(&token.into()), None);
            assert!(account.trial && account.status == AccountStatus::Suspended);
        }
        assert_eq!(
            read(r#"{"status":"sleeping"}"#).status,
            AccountStatus::Other
        );
    }

    #[test]
    fn debug_does_not_show_the_token() {
        let token = "0123456789abcdef0123456789abcdef";
        let account = read(&format!(r#"{{"status":"active","auth_token":"{token}"}}"#));
        assert!(!format!("{account:?}").contains(token));
    }
}
