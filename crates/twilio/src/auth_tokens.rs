//! The auth tokens that Twilio signs with. They are never shown, and a blank token is refused.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// Auth tokens that may have signed a request: at least one, none blank.
#[derive(Clone)]
pub struct AuthTokens(pub(crate) Vec<SecretString>);

/// Why a list of tokens is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthTokensError {
    /// The list is empty.
    #[error("at least one auth token is needed")]
    Empty,
    /// A token is empty or has a blank in it. An empty key would let anyone sign.
    #[error("an auth token is empty or contains a blank")]
    Blank,
}

impl AuthTokens {
    /// Accepts the tokens in use: one, or two during a rotation.
    pub fn new(tokens: Vec<SecretString>) -> Result<Self, AuthTokensError> {
        if tokens.is_empty() {
            return Err(AuthTokensError::Empty);
        }
        let blank = |token: &SecretString| {
            let token = token.expose_secret();
            token.is_empty() || token.contains(char::is_whitespace)
        };
        if tokens.iter().any(blank) {
            return Err(AuthTokensError::Blank);
        }
        Ok(Self(tokens))
    }
}

impl fmt::Debug for AuthTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthTokens([sealed]; {})", self.0.len())
    }
}
