//! The settings of a test, for services in this process and as the environment of separate
//! processes.

use std::{collections::BTreeMap, net::SocketAddr, path::Path};

use pigeonhole::config::{Env, Reader};
use store::Keyring;
use twilio::signature;
use twilio_simulator::{SimulatedAccount, WebhookSender};
use url::Url;

/// The URL that Twilio signs. Nothing listens there: only its text matters.
pub(crate) const PUBLIC_BASE_URL: &str = "https://sms.example.com";

/// The path of the webhook.
pub(crate) const WEBHOOK: &str = "/api/sms/webhook";

/// All settings of a process.
#[derive(Clone)]
pub(crate) struct ProgramSettings(BTreeMap<String, String>);

impl ProgramSettings {
    /// No settings at all.
    pub(crate) fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// All required settings, with random secrets and free ports.
    pub(crate) fn random(database_url: &str) -> Self {
        Self::none()
            .with("DATABASE_URL", database_url)
            .with("LISTEN_ADDR", "127.0.0.1:0")
            .with("ADMIN_ADDR", "127.0.0.1:0")
            .with("PUBLIC_BASE_URL", PUBLIC_BASE_URL)
            .with("TWILIO_ACCOUNT_SID", format!("AC{}", hex()))
            .with("TWILIO_AUTH_TOKEN", hex())
            .with("TWILIO_PHONE_NUMBER", "+15005550006")
            // Nothing listens there: a test that needs a Twilio sets the address of its own.
            .with("TWILIO_API_BASE_URL", "http://127.0.0.1:9")
            .with("MEDIA_STORE", media_store())
            .with("ENCRYPTION_KEY", key())
            .with("JWT_SECRET", key())
            // Most tests have no Twilio to send with.
            .with("REPLIES", "none")
            // Most tests have no Twilio that lists messages.
            .with("RECOVERY", "off")
            .with("SHUTDOWN_GRACE_SECONDS", "10")
            // Tests send many messages from one number.
            .with("RATE_LIMIT_BURST", "1000000")
            .with("LOG_FORMAT", "json")
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        &self.0[name]
    }

    pub(crate) fn variables(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    pub(crate) fn env(&self) -> Env {
        Env::of(self.0.clone())
    }

    pub(crate) fn keyring(&self) -> Keyring {
        Reader::read(&self.env(), pigeonhole::config::keyring).unwrap()
    }

    /// The account of these settings, as the simulated Twilio plays it.
    pub(crate) fn account(&self) -> SimulatedAccount {
        SimulatedAccount {
            sid: self.get("TWILIO_ACCOUNT_SID").parse().unwrap(),
            auth_token: self.get("TWILIO_AUTH_TOKEN").into(),
            keys: Vec::new(),
            number: self.get("TWILIO_PHONE_NUMBER").to_owned(),
            public_base_url: self.get("PUBLIC_BASE_URL").to_owned(),
            webhook_path: WEBHOOK.to_owned(),
        }
    }

    /// Sends webhooks of the account of these settings to this receiver.
    pub(crate) fn twilio(&self, receiver: SocketAddr) -> WebhookSender {
        let api_base_url = self.get("TWILIO_API_BASE_URL").parse().unwrap();
        let receiver = format!("http://{receiver}");
        WebhookSender::new(&self.account(), &api_base_url, &receiver).unwrap()
    }

    /// The signature of these parameters.
    pub(crate) fn sign(&self, parameters: &[(String, String)]) -> String {
        let url = format!("{PUBLIC_BASE_URL}{WEBHOOK}");
        signature::sign(self.get("TWILIO_AUTH_TOKEN"), &url, parameters)
    }
}

/// All tests share one media store: each database has its own namespace there.
fn media_store() -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("media");
    Url::from_file_path(folder).unwrap().to_string()
}

/// 32 random hexadecimal digits.
pub(crate) fn hex() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// A key for personal data.
pub(crate) fn key() -> String {
    format!("{}{}", hex(), hex())
}

/// A variable of the environment that the tests run in.
#[expect(
    clippy::disallowed_methods,
    reason = "a setting of the tests, not of the program"
)]
pub(crate) fn test_run_variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
