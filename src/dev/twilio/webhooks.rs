//! Messages that people send to our number: made up as Twilio would, signed and delivered.

use std::time::{Duration, Instant};

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use twilio::signature;
use url::Url;

use super::{hex, samples};
use crate::config::{ReceiverConfig, WEBHOOK_PATH};

/// How long Twilio waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Plays the account that the receiver is configured for.
#[derive(Debug, Clone)]
pub struct SimulatedTwilio {
    client: reqwest::Client,
    account_sid: String,
    auth_token: SecretString,
    number: String,
    api_base_url: Url,
    /// The URL that is signed.
    public_url: String,
    /// The URL that is requested.
    target: String,
}

/// A message that somebody sends to our number.
#[derive(Debug, Clone, Default)]
pub struct Text {
    /// Who sends it.
    pub from: String,
    /// What it says.
    pub body: String,
    /// The MIME type of each attachment. Of many types, the simulated API has a file.
    pub media: Vec<String>,
    /// More parameters, or other values for those that are sent anyway. An empty value sends an empty parameter.
    pub fields: Vec<(String, String)>,
}

/// What became of a delivery.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The message's SID.
    pub message_sid: String,
    /// The HTTP status.
    pub status: u16,
    /// From request to answer.
    pub took: Duration,
}

impl SimulatedTwilio {
    /// `target` is the receiver's own address, such as `http://127.0.0.1:3000`; signatures are made for the public one.
    pub fn new(config: &ReceiverConfig, target: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("cannot make an HTTP client")?;
        let token = config.twilio.auth_tokens.first().context("no auth token")?;
        let number = config
            .twilio
            .phone_number
            .as_ref()
            .map(|number| number.as_str().to_owned());
        Ok(Self {
            client,
            account_sid: config.twilio.account_sid.to_string(),
            auth_token: token.clone(),
            number: number.unwrap_or_else(|| "+15005550006".to_owned()),
            api_base_url: config.twilio.api_base_url.clone(),
            public_url: format!("{}{WEBHOOK_PATH}", config.public_base_url),
            target: format!("{}{WEBHOOK_PATH}", target.trim_end_matches('/')),
        })
    }

    /// Signs the message and posts it once, as Twilio does by default.
    pub async fn deliver(&self, text: &Text) -> anyhow::Result<Delivery> {
        let parameters = self.parameters(text);
        let message_sid = parameters
            .iter()
            .find(|(name, _)| name == "MessageSid")
            .map(|(_, value)| value.clone())
            .unwrap_or_default();
        self.post(message_sid, &parameters).await
    }

    /// Signs these parameters, whatever they are, and posts them.
    pub async fn post(
        &self,
        message_sid: String,
        parameters: &[(String, String)],
    ) -> anyhow::Result<Delivery> {
        let signature = signature::sign(
            self.auth_token.expose_secret(),
            &self.public_url,
            parameters,
        );
        let started = Instant::now();
        let response = self
            .client
            .post(&self.target)
            .header(signature::HEADER, signature)
            .header("I-Twilio-Idempotency-Token", hex())
            .form(parameters)
            .send()
            .await
            .with_context(|| format!("no answer from {}", self.target))?;
        let status = response.status().as_u16();
        response.bytes().await.context("the answer ended early")?;
        Ok(Delivery {
            message_sid,
            status,
            took: started.elapsed(),
        })
    }

    /// The parameters of the webhook, under a new SID.
    pub fn parameters(&self, text: &Text) -> Vec<(String, String)> {
        let kind = if text.media.is_empty() { "SM" } else { "MM" };
        let sid = format!("{kind}{}", hex());
        let segments = text
            .body
            .encode_utf16()
            .count()
            .div_ceil(153)
            .max(1)
            .to_string();
        let mut parameters: Vec<(String, String)> = [
            ("ToCountry", "US"),
            ("ToState", ""),
            ("SmsMessageSid", &sid),
            ("NumMedia", &text.media.len().to_string()),
            ("ToCity", ""),
            ("FromZip", ""),
            ("SmsSid", &sid),
            ("FromState", ""),
            ("SmsStatus", "received"),
            ("FromCity", ""),
            ("Body", &text.body),
            ("FromCountry", "US"),
            ("To", &self.number),
            ("ToZip", ""),
            ("NumSegments", &segments),
            ("MessageSid", &sid),
            ("AccountSid", &self.account_sid),
            ("From", &text.from),
            ("ApiVersion", "2010-04-01"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (index, media_type) in text.media.iter().enumerate() {
            let path = format!(
                "/2010-04-01/Accounts/{}/Messages/{sid}/Media/{}",
                self.account_sid,
                samples::new_sid(media_type)
            );
            let base = self.api_base_url.as_str().trim_end_matches('/');
            parameters.push((format!("MediaContentType{index}"), media_type.clone()));
            parameters.push((format!("MediaUrl{index}"), format!("{base}{path}")));
        }
        for (name, value) in &text.fields {
            match parameters.iter_mut().find(|(known, _)| known == name) {
                Some(parameter) => parameter.1.clone_from(value),
                None => parameters.push((name.clone(), value.clone())),
            }
        }
        parameters
    }
}
