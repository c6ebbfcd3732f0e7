//! Configuration: environment in, small typed structs out. Nothing else reads the environment.
//!
//! Each struct reads its own variables; all mistakes are reported together, by name, before anything starts.

mod admin;
mod api;
mod extraction;
mod media;
mod messages;
mod observer;
mod reader;
mod replies;
mod sending;
mod traces;
mod variable;
mod variables;
mod verification;

use std::{net::SocketAddr, num::NonZeroU32, str::FromStr, time::Duration};

use jobs::Policy;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use store::{E164, Keyring};
use twilio::{AccountSid, rest::Credentials, signature::AuthTokens};
use url::Url;

pub use admin::AdminConfig;
pub use api::{ApiConfig, Jwks, TokenConfig};
pub use extraction::ExtractionConfig;
pub use media::{MediaConfig, MediaStoreConfig};
pub use observer::ObserverConfig;
pub use reader::{Env, Mistakes, Reader};
pub use sending::{STATUS_PATH, SendingConfig, WEBHOOK_PATH};
pub use traces::TracesConfig;
pub use variable::Variable;
pub use variables::VARIABLES;
pub use verification::VerificationConfig;

/// Where the database is and how many connections one process may hold.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `DATABASE_URL`, or `DATABASE_HOST` and its companions.
    pub options: PgConnectOptions,
    /// `DATABASE_POOL_MAX`.
    pub max_connections: u32,
}

impl DatabaseConfig {
    /// Reads it.
    pub fn read(r: &mut Reader<'_>) -> Option<Self> {
        let max_connections = r.required("DATABASE_POOL_MAX", |text| match text.parse() {
            Ok(n @ 3..=1000) => Ok(n),
            _ => Err("must be a number from 3 to 1000: the receiver alone needs three".to_owned()),
        });
        let options = if r.text("DATABASE_URL").is_none() && r.text("DATABASE_HOST").is_none() {
            r.mistake(
                "DATABASE_URL",
                "is not set, and neither is DATABASE_HOST. It looks like postgres://user:password@host:5432/name",
            );
            None
        } else if r.text("DATABASE_URL").is_some() {
            r.required("DATABASE_URL", |text| {
                // What the parser says may quote the password.
                PgConnectOptions::from_str(text).map_err(|_| {
                    "is not a Postgres URL: it looks like postgres://user:password@host:5432/name, with special \
                     characters of the password percent-encoded"
                        .to_owned()
                })
            })
        } else {
            Self::from_parts(r)
        };
        Some(Self {
            options: options?.application_name("pigeonhole"),
            max_connections: max_connections?,
        })
    }

    fn from_parts(r: &mut Reader<'_>) -> Option<PgConnectOptions> {
        let host = r.required("DATABASE_HOST", |text| Ok(text.to_owned()));
        let port: Option<u16> = r.required("DATABASE_PORT", |text| {
            text.parse().map_err(|_| "must be a port number".to_owned())
        });
        let name = r.required("DATABASE_NAME", |text| Ok(text.to_owned()));
        let user = r.required("DATABASE_USER", |text| Ok(text.to_owned()));
        let password = r.optional("DATABASE_PASSWORD", |text| Ok(text.to_owned()));
        let ssl = r.required("DATABASE_SSL", boolean);
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&host?)
            .port(port?)
            .database(&name?)
            .username(&user?)
            .ssl_mode(if ssl? {
                PgSslMode::Require
            } else {
                PgSslMode::Prefer
            });
        if let Some(password) = password? {
            options = options.password(&password);
        }
        Some(options)
    }
}

/// The keys that seal and open personal data: `ENCRYPTION_KEY`, `ENCRYPTION_KEYS_OLD`.
pub fn keyring(r: &mut Reader<'_>) -> Option<Keyring> {
    let old = r.text("ENCRYPTION_KEYS_OLD").unwrap_or("");
    r.required("ENCRYPTION_KEY", |text| {
        Keyring::parse(text, old).map_err(|error| match error {
            store::KeyError::Current => format!("is not usable: {error}"),
            store::KeyError::Older { .. } => format!("is fine, but in ENCRYPTION_KEYS_OLD {error}"),
        })
    })
}

/// The account at Twilio.
#[derive(Debug, Clone)]
pub struct TwilioConfig {
    /// `TWILIO_ACCOUNT_SID`: webhooks of other accounts are refused.
    pub account_sid: AccountSid,
    /// `TWILIO_AUTH_TOKEN`: those that may have signed a webhook. The first one is the account's own.
    pub auth_tokens: Vec<SecretString>,
    /// `TWILIO_AUTH_TOKENS_RETIRED`: for diagnosis only.
    pub retired_tokens: Vec<SecretString>,
    /// `TWILIO_PHONE_NUMBER`, in E.164.
    pub phone_number: Option<E164>,
    /// `TWILIO_API_BASE_URL`.
    pub api_base_url: Url,
}

impl TwilioConfig {
    /// Reads it.
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

    /// Who we are to the API.
    fn credentials(&self) -> Option<Credentials> {
        Some(Credentials {
            username: self.account_sid.to_string(),
            account: self.account_sid.clone(),
            secret: self.auth_tokens.first()?.clone(),
        })
    }
}

/// What the receiver needs.
#[derive(Debug, Clone)]
pub struct ReceiverConfig {
    /// `LISTEN_ADDR`.
    pub listen: SocketAddr,
    /// `PUBLIC_BASE_URL` as it was written, without a slash or fragment at its end: signatures cover the letters, so
    /// it must not go through a URL parser.
    pub public_base_url: String,
    /// The account.
    pub twilio: TwilioConfig,
}

impl ReceiverConfig {
    /// Reads it.
    pub fn read(r: &mut Reader<'_>) -> Option<Self> {
        let listen = r.required("LISTEN_ADDR", socket_addr);
        let public_base_url = public_base_url(r);
        let twilio = TwilioConfig::read(r);
        Some(Self {
            listen: listen?,
            public_base_url: public_base_url?,
            twilio: twilio?,
        })
    }
}

/// What the worker needs.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// `WORKER_NAME`.
    pub name: Option<String>,
    /// `WORKER_CONCURRENCY`.
    pub concurrency: usize,
    /// `JOB_LEASE_SECONDS`: how long a dead worker's jobs wait before others take them.
    pub lease: Duration,
    /// `DEAD_LETTER_RETENTION_DAYS`.
    pub keep_dead_letters: Duration,
    /// `MESSAGE_RETENTION_DAYS`.
    pub keep_messages: Duration,
    /// `SMS_ENRICHMENT_ENABLED`, `RATE_LIMIT_…`, `REPLIES` and `REPLY_…`.
    pub policy: Policy,
    /// How SMS are sent, where there is somebody to send from.
    pub sending: Option<SendingConfig>,
    /// What becomes of the files of messages.
    pub media: MediaConfig,
    /// Who finds what messages say.
    pub extraction: ExtractionConfig,
    /// What metrics need to know.
    pub observer: ObserverConfig,
}

impl WorkerConfig {
    /// Reads it.
    pub fn read(r: &mut Reader<'_>) -> Option<Self> {
        let concurrency = r.required("WORKER_CONCURRENCY", |text| match text.parse() {
            Ok(n @ 1..=10_000) => Ok(n),
            _ => Err("must be a number from 1 to 10000".to_owned()),
        });
        let lease = r.required("JOB_LEASE_SECONDS", |text| match text.parse() {
            Ok(seconds @ 2..=3600) => Ok(Duration::from_secs(seconds)),
            _ => Err("must be a number of seconds from 2 to 3600".to_owned()),
        });
        let keep_dead_letters =
            r.required("DEAD_LETTER_RETENTION_DAYS", |text| match text.parse() {
                Ok(days @ 1..=3650) => Ok(Duration::from_hours(24 * days)),
                _ => Err("must be a number of days from 1 to 3650".to_owned()),
            });
        let keep_messages = r.required("MESSAGE_RETENTION_DAYS", |text| match text.parse() {
            Ok(days @ 0..=3650) => Ok(Duration::from_hours(24 * days)),
            _ => Err("must be a number of days from 0 to 3650".to_owned()),
        });
        let sending = SendingConfig::read(r);
        let (media, extraction) = (MediaConfig::read(r), ExtractionConfig::read(r));
        let can_send = sending.as_ref().is_some_and(Option::is_some);
        let replies = replies::replies(r, can_send);
        let policy = messages::policy(r, replies);
        let observer = ObserverConfig::read(r);
        Some(Self {
            name: r.text("WORKER_NAME").map(str::to_owned),
            concurrency: concurrency?,
            lease: lease?,
            keep_dead_letters: keep_dead_letters?,
            keep_messages: keep_messages?,
            policy: policy?,
            sending: sending?,
            media: media?,
            extraction: extraction?,
            observer: observer?,
        })
    }
}

/// What every long-running process needs.
#[derive(Debug, Clone)]
pub struct ProcessConfig {
    /// The admin listener.
    pub admin: AdminConfig,
    /// `SHUTDOWN_DELAY_SECONDS`.
    pub delay: Duration,
    /// `SHUTDOWN_GRACE_SECONDS`.
    pub grace: Duration,
    /// How long a loop may give no sign of life. Nobody needs to set it; tests are in a hurry.
    pub stuck_after: Duration,
}

impl ProcessConfig {
    /// Reads it.
    pub fn read(r: &mut Reader<'_>) -> Option<Self> {
        let admin = AdminConfig::read(r);
        let delay = r.required("SHUTDOWN_DELAY_SECONDS", |text| match text.parse() {
            Ok(seconds @ 0..=3600) => Ok(Duration::from_secs(seconds)),
            _ => Err("must be a number of seconds from 0 to 3600".to_owned()),
        });
        let grace = r.required("SHUTDOWN_GRACE_SECONDS", |text| match text.parse() {
            Ok(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds)),
            _ => Err("must be a number of seconds from 1 to 3600".to_owned()),
        });
        Some(Self {
            admin: admin?,
            delay: delay?,
            grace: grace?,
            stuck_after: queue::STUCK_AFTER,
        })
    }
}

/// How to log.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// `RUST_LOG`.
    pub filter: String,
    /// `LOG_FORMAT` is `json`.
    pub json: bool,
}

impl LogConfig {
    /// Reads it.
    pub fn read(r: &mut Reader<'_>) -> Option<Self> {
        let filter = r.required("RUST_LOG", |text| {
            tracing_subscriber::EnvFilter::try_new(text)
                .map(|_| text.to_owned())
                .map_err(|_| "must be a level such as info, or target=level pairs".to_owned())
        });
        let json = r.required("LOG_FORMAT", |text| match text {
            "json" => Ok(true),
            "pretty" => Ok(false),
            _ => Err("must be pretty or json".to_owned()),
        });
        Some(Self {
            filter: filter?,
            json: json?,
        })
    }
}

#[expect(
    clippy::option_option,
    reason = "not wanted and wrong are different answers"
)]
fn phone_number(r: &mut Reader<'_>) -> Option<Option<E164>> {
    r.optional("TWILIO_PHONE_NUMBER", |text| {
        E164::parse(text).map_err(|_| "must be in E.164: + and digits, such as +15551234567".into())
    })
}

/// `PUBLIC_BASE_URL` without a slash or fragment at its end.
fn public_base_url(r: &mut Reader<'_>) -> Option<String> {
    r.required("PUBLIC_BASE_URL", |text| {
        let base = text.split('#').next().unwrap_or(text).trim_end_matches('/');
        let url = http_url(base)?;
        if url.query().is_some() {
            return Err("must have no query: the path of the webhook is appended to it".to_owned());
        }
        Ok(base.to_owned())
    })
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

fn positive(text: &str) -> Result<NonZeroU32, String> {
    text.parse()
        .map_err(|_| "must be a whole number above 0".to_owned())
}

fn socket_addr(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "must be an IP address and a port, such as 127.0.0.1:3000".to_owned())
}

fn http_url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err("must be a URL such as https://sms.example.com".to_owned()),
    }
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

#[cfg(test)]
mod tests;
