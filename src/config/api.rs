//! The settings of the phone number API: the tokens and the origins that it accepts.
//! `verification.rs` has those of the SMS that it sends.

use std::net::IpAddr;

use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{
    parse::{http_url, list},
    reader::Reader,
    verification::VerificationConfig,
};
use crate::token_keys::TokenKeys;

/// The shortest `JWT_SECRET`: HS256 needs a key as long as its digest (RFC 7518, 3.2).
const SHORTEST_SECRET: usize = 32;

/// The phone number API. It is off where bearer tokens cannot be checked.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// How bearer tokens are checked.
    pub tokens: TokenConfig,
    /// `CORS_ALLOWED_ORIGINS`, as browsers write them.
    pub origins: Vec<String>,
    /// `TRUSTED_PROXIES`.
    pub trusted_proxies: Vec<IpNet>,
    /// The verification SMS.
    pub verification: VerificationConfig,
}

/// How bearer tokens are checked.
#[derive(Debug, Clone)]
pub struct TokenConfig {
    /// `JWT_SECRET`, for HS256.
    pub secret: Option<SecretString>,
    /// `JWT_JWKS`, for RS256 and ES256.
    pub jwks: Option<Jwks>,
    /// `JWT_ISSUER`.
    pub issuer: Option<String>,
    /// `JWT_AUDIENCE`.
    pub audience: Option<String>,
}

/// Where the public keys are.
#[derive(Debug, Clone)]
pub enum Jwks {
    /// The keys of a file.
    File(TokenKeys),
    /// A URL, read at the start, and again when a token names an unknown key.
    Url(Url),
}

impl ApiConfig {
    /// Reads the settings: `Some(None)` where no tokens are configured, so the API is off. Mistakes
    /// are reported in any case.
    pub fn read(r: &mut Reader<'_>) -> Option<Option<Self>> {
        let tokens = TokenConfig::read(r);
        let origins = r.optional("CORS_ALLOWED_ORIGINS", |text| list(text, origin));
        let trusted_proxies = r.optional("TRUSTED_PROXIES", |text| list(text, network));
        let verification = VerificationConfig::read(r);
        let Some(tokens) = tokens? else {
            return origins.and(trusted_proxies).and(verification).map(|_| None);
        };
        let senders = ["TWILIO_PHONE_NUMBER", "TWILIO_MESSAGING_SERVICE_SID"];
        if senders.iter().all(|name| r.text(name).is_none()) {
            r.mistake(
                "TWILIO_PHONE_NUMBER",
                "is not set, and neither is TWILIO_MESSAGING_SERVICE_SID: JWT_SECRET or JWT_JWKS turns the phone \
                 number API on, and there would be nobody to send its codes from",
            );
            return None;
        }
        Some(Some(Self {
            tokens,
            origins: origins?.unwrap_or_default(),
            trusted_proxies: trusted_proxies?.unwrap_or_default(),
            verification: verification?,
        }))
    }
}

impl TokenConfig {
    #[expect(
        clippy::option_option,
        reason = "a setting that is missing differs from one that is wrong"
    )]
    fn read(r: &mut Reader<'_>) -> Option<Option<Self>> {
        let secret = r.optional("JWT_SECRET", |text| {
            let secret = SecretString::from(text.to_owned());
            if secret.expose_secret().len() < SHORTEST_SECRET {
                return Err(format!(
                    "must have {SHORTEST_SECRET} bytes at least; make one with `openssl rand -hex 32`"
                ));
            }
            Ok(secret)
        });
        let jwks = r.optional("JWT_JWKS", jwks);
        let (secret, jwks) = (secret?, jwks?);
        if secret.is_none() && jwks.is_none() {
            return Some(None);
        }
        Some(Some(Self {
            secret,
            jwks,
            issuer: r.text("JWT_ISSUER").map(str::to_owned),
            audience: r.text("JWT_AUDIENCE").map(str::to_owned),
        }))
    }
}

fn jwks(text: &str) -> Result<Jwks, String> {
    if text.contains("://") {
        return http_url(text).map(Jwks::Url);
    }
    let file = std::fs::read(text).map_err(|error| {
        format!("names a file that cannot be read ({error}); a URL would start with https://")
    })?;
    TokenKeys::parse(&file)
        .map(Jwks::File)
        .map_err(|error| format!("names a file that is of no use: {error}"))
}

/// An origin, in the form that browsers send.
fn origin(text: &str) -> Result<String, String> {
    let wrong = || {
        "an origin is a scheme, a host and perhaps a port, without a path, such as https://app.example.com"
            .to_owned()
    };
    let url = http_url(text).map_err(|_| wrong())?;
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    if rest.contains(['/', '?', '#', '@', '\\']) || rest.contains(char::is_whitespace) {
        return Err(wrong());
    }
    Ok(url.origin().ascii_serialization())
}

/// A network, or a single address.
fn network(text: &str) -> Result<IpNet, String> {
    text.parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| "it must be a network such as 10.0.0.0/8 or an address".to_owned())
}

#[cfg(test)]
mod tests;
