//! What the phone number API needs: whose tokens count, who may call, and what bounds the SMS it sends.

use std::{path::PathBuf, time::Duration};

use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

use super::Reader;

/// The phone number API. It is there only where bearer tokens can be checked.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// Whose tokens count.
    pub tokens: TokenConfig,
    /// `CORS_ALLOWED_ORIGINS`.
    pub origins: Vec<String>,
    /// `TRUSTED_PROXIES`.
    pub trusted_proxies: Vec<IpNet>,
    /// What is sent, and how much.
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

/// Where the keys are.
#[derive(Debug, Clone)]
pub enum Jwks {
    /// In a file, read at the start.
    File(PathBuf),
    /// Under a URL, read at the start, and again when a token names a key that is not known.
    Url(Url),
}

/// Verification SMS.
#[derive(Debug, Clone)]
pub struct VerificationConfig {
    /// `VERIFICATION_CODE_EXPIRY_MINUTES`.
    pub code_life: Duration,
    /// `VERIFICATION_MESSAGE`, which holds `{code}`.
    pub message: String,
    /// `VERIFICATION_COUNTRIES`: ISO 3166 codes, upper case.
    pub countries: Vec<String>,
    /// `VERIFICATION_IP_HOURLY_LIMIT`.
    pub per_ip: u32,
    /// `VERIFICATION_PREFIX_HOURLY_LIMIT`.
    pub per_prefix: u32,
    /// `VERIFICATION_COUNTRY_HOURLY_LIMIT`.
    pub per_country: u32,
    /// `VERIFICATION_DAILY_BUDGET`.
    pub per_day: u32,
}

impl ApiConfig {
    /// Reads it: `Some(None)` where no tokens are configured, and so no API is wanted.
    #[expect(
        clippy::option_option,
        reason = "not wanted and wrong are different answers"
    )]
    pub fn read(_r: &mut Reader<'_>) -> Option<Option<Self>> {
        todo!("H3")
    }
}
