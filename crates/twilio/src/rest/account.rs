//! The account itself: is it active, and which of its tokens signs?

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::{AskError, Client};

/// What Twilio says of the account.
pub struct Account {
    /// May it be used?
    pub status: AccountStatus,
    /// A trial account sends to numbers that it has verified, and to no other.
    pub trial: bool,
    /// The token that signs, if Twilio tells.
    primary: Option<SecretString>,
}

/// May an account be used?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountStatus {
    /// Yes.
    Active,
    /// Twilio has suspended it, mostly for want of money.
    Suspended,
    /// It is closed for good.
    Closed,
    /// A word that we do not know.
    Other,
}

impl Account {
    /// Is this the primary token, the one that signs webhooks? `None` if Twilio does not tell.
    pub fn is_primary(&self, token: &SecretString) -> Option<bool> {
        let primary = self.primary.as_ref()?.expose_secret().as_bytes();
        Some(primary.ct_eq(token.expose_secret().as_bytes()).into())
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
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

impl From<Answer> for Account {
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
    /// The account whose credentials we have.
    pub async fn account(&self) -> Result<Account, AskError> {
        let path = format!("/2010-04-01/Accounts/{}.json", self.0.credentials.account);
        let request = self.0.http.get(self.0.url(&path));
        Ok(self.answer::<Answer>(request).await?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Account {
        serde_json::from_str::<Answer>(json)
            .expect("an answer")
            .into()
    }

    #[test]
    fn which_token_signs_is_known_only_where_twilio_tells() {
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
