//! Inbound messages: the sender makes a webhook up as Twilio would, signs it and delivers it.

use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use twilio::signature;
use url::Url;

use crate::{
    account::SimulatedAccount, error::SimulatorError, http_client, ids::random_hex, samples,
};

/// Plays the people who text the account's number.
#[derive(Debug, Clone)]
pub struct WebhookSender {
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

/// A message that a person sends to the account's number.
#[derive(Debug, Clone, Default)]
pub struct InboundText {
    /// The sender's number.
    pub from: String,
    /// The text.
    pub body: String,
    /// The MIME type of each attachment. The simulated API serves a file of each common type.
    pub media: Vec<String>,
    /// Parameters to add or to replace. An empty value sends an empty parameter.
    pub fields: Vec<(String, String)>,
}

/// How the receiver answered a webhook.
#[derive(Debug, Clone)]
pub struct WebhookDelivery {
    /// The message's SID.
    pub message_sid: String,
    /// The HTTP status.
    pub status: u16,
    /// The time from request to answer.
    pub took: Duration,
}

impl WebhookSender {
    /// Delivers to the receiver at `receiver`, such as `http://127.0.0.1:3000`. Signatures are made
    /// for the account's public URL. The files of messages are at `api_base_url`.
    pub fn new(
        account: &SimulatedAccount,
        api_base_url: &Url,
        receiver: &str,
    ) -> Result<Self, SimulatorError> {
        let receiver = receiver.trim_end_matches('/');
        Ok(Self {
            client: http_client::client()?,
            account_sid: account.sid.to_string(),
            auth_token: account.auth_token.clone(),
            number: account.number.clone(),
            api_base_url: api_base_url.clone(),
            public_url: account.webhook_url(),
            target: format!("{receiver}{}", account.webhook_path),
        })
    }

    /// Signs the message and posts it once, as Twilio does by default.
    pub async fn deliver(&self, text: &InboundText) -> Result<WebhookDelivery, SimulatorError> {
        let parameters = self.parameters(text);
        let message_sid = parameters
            .iter()
            .find(|(name, _)| name == "MessageSid")
            .map(|(_, value)| value.clone())
            .unwrap_or_default();
        self.post(message_sid, &parameters).await
    }

    /// Signs these parameters, valid or not, and posts them.
    pub async fn post(
        &self,
        message_sid: String,
        parameters: &[(String, String)],
    ) -> Result<WebhookDelivery, SimulatorError> {
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
            .header("I-Twilio-Idempotency-Token", random_hex())
            .form(parameters)
            .send()
            .await
            .map_err(|source| SimulatorError::NoAnswer {
                url: self.target.clone(),
                source,
            })?;
        let status = response.status().as_u16();
        let body = response.bytes().await;
        body.map_err(SimulatorError::AnswerEndedEarly)?;
        Ok(WebhookDelivery {
            message_sid,
            status,
            took: started.elapsed(),
        })
    }

    /// The webhook's parameters, with a new SID.
    pub fn parameters(&self, text: &InboundText) -> Vec<(String, String)> {
        let kind = if text.media.is_empty() { "SM" } else { "MM" };
        let sid = format!("{kind}{}", random_hex());
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
