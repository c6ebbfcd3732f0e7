//! Sends the webhooks of inbound messages, signed as Twilio signs them.

use std::{
    fmt,
    time::{Duration, Instant},
};

use secrecy::ExposeSecret;
use twilio::signature;
use url::Url;

use crate::{
    account::SimulatedAccount,
    conditions::WebhookFate,
    context::SharedContext,
    error::SimulatorError,
    http_client,
    ids::{now, random_hex},
    inbound_text::{InboundText, parameter},
    received::WebhookResult,
    retries::{RetryRules, WebhookTry},
};

/// The overrides of a sender that no API knows. The doctor asks for the same.
const OVERRIDES: &str = "#rc=3&rp=all";

/// Plays the people who text the account's number.
#[derive(Clone)]
pub struct WebhookSender {
    client: reqwest::Client,
    account: SimulatedAccount,
    api_base_url: String,
    /// The URL that is requested.
    target: String,
    /// The API that lists what this sender sends.
    api: Option<SharedContext>,
}

impl fmt::Debug for WebhookSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSender")
            .field("target", &self.target)
            .field("is_listed", &self.api.is_some())
            .finish_non_exhaustive()
    }
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

/// A message that Twilio took, and what became of its webhook.
#[derive(Debug, Clone)]
pub struct SentText {
    /// The message's SID.
    pub message_sid: String,
    /// How often the webhook was tried.
    pub tries: u32,
    /// What became of it.
    pub result: WebhookResult,
    /// The status of the last answer.
    pub status: Option<u16>,
    /// When it was last refused or not answered.
    pub refused_at: Option<Instant>,
    /// The time of all tries together.
    pub took: Duration,
}

impl WebhookSender {
    /// Delivers to the receiver at `receiver`, such as `http://127.0.0.1:3000`. Signatures are made
    /// for the account's public URL. The files of messages are at `api_base_url`.
    ///
    /// No API lists what it sends: see [`crate::SimulatedApi::webhook_sender`].
    pub fn new(
        account: &SimulatedAccount,
        api_base_url: &Url,
        receiver: &str,
    ) -> Result<Self, SimulatorError> {
        Ok(Self {
            client: http_client::client()?,
            target: target(account, receiver),
            account: account.clone(),
            api_base_url: api_base_url.as_str().to_owned(),
            api: None,
        })
    }

    /// The same, and this API lists what it sends.
    pub(crate) fn of_api(api: SharedContext, receiver: &str) -> Self {
        Self {
            client: api.client.clone(),
            target: target(&api.account, receiver),
            account: api.account.clone(),
            api_base_url: api.base_url(),
            api: Some(api),
        }
    }

    /// Signs the message and posts it once, as Twilio does by default.
    pub async fn deliver(&self, text: &InboundText) -> Result<WebhookDelivery, SimulatorError> {
        let parameters = self.parameters(text);
        let message_sid = self.take(&parameters);
        if let Some(error_code) = self.loses() {
            self.end(&message_sid, 0, WebhookResult::Failed { error_code });
            return Err(SimulatorError::WebhookLost { message_sid });
        }
        let delivery = self.post(message_sid.clone(), &parameters).await;
        self.end(&message_sid, 1, result_of(tried(&delivery)));
        delivery
    }

    /// Twilio takes the message. It tries the webhook as often and as long as its overrides say.
    pub async fn send(&self, text: &InboundText) -> SentText {
        let parameters = self.parameters(text);
        let message_sid = self.take(&parameters);
        self.deliver_taken(message_sid, &parameters).await
    }

    /// Tries the webhook of a message that is taken.
    pub(crate) async fn deliver_taken(
        &self,
        message_sid: String,
        parameters: &[(String, String)],
    ) -> SentText {
        let rules = self.rules();
        let started = Instant::now();
        let (mut tries, mut status, mut refused_at) = (0, None, None);
        let result = loop {
            if let Some(error_code) = self.loses() {
                break WebhookResult::Failed { error_code };
            }
            let left = rules.total.saturating_sub(started.elapsed());
            let limit = rules.read.min(left);
            let posting = self.post(message_sid.clone(), parameters);
            let delivery = tokio::time::timeout(limit, posting).await;
            let last = delivery.map_or(WebhookTry::NoAnswer, |delivery| tried(&delivery));
            tries += 1;
            if let WebhookTry::Answered(answered) = last {
                status = Some(answered);
            }
            if !last.is_delivered() {
                refused_at = Some(Instant::now());
            }
            let is_late = started.elapsed() >= rules.total;
            if last.is_delivered() || is_late || !rules.again(tries, last) {
                break result_of(last);
            }
        };
        self.end(&message_sid, tries, result);
        SentText {
            message_sid,
            tries,
            result,
            status,
            refused_at,
            took: started.elapsed(),
        }
    }

    /// Signs these parameters, valid or not, and posts them.
    pub async fn post(
        &self,
        message_sid: String,
        parameters: &[(String, String)],
    ) -> Result<WebhookDelivery, SimulatorError> {
        let signature = signature::sign(
            self.account.auth_token.expose_secret(),
            &self.account.webhook_url(),
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
        text.parameters(&self.account, &self.api_base_url)
    }

    /// Has the API take the message. Returns its SID.
    fn take(&self, parameters: &[(String, String)]) -> String {
        if let Some(api) = &self.api {
            api.state.update(|state| {
                let conditions = &state.conditions;
                state.received.take(parameters, now(), conditions);
            });
        }
        parameter(parameters, "MessageSid").to_owned()
    }

    fn end(&self, message_sid: &str, tries: u32, result: WebhookResult) {
        if let Some(api) = &self.api {
            api.state.update(|state| {
                let conditions = &state.conditions;
                let received = &mut state.received;
                received.end_webhook(message_sid, tries, result, conditions);
            });
        }
    }

    /// Twilio's error code, if it loses webhooks now.
    fn loses(&self) -> Option<u32> {
        let fate = |state: &crate::send_state::SimulatorState| state.conditions.webhooks.clone();
        match self.api.as_ref()?.state.read(fate) {
            WebhookFate::Deliver => None,
            WebhookFate::Lose { error_code } => Some(error_code),
        }
    }

    fn rules(&self) -> RetryRules {
        match &self.api {
            Some(api) => {
                let url = api.state.read(|state| state.console.number.sms_url.clone());
                RetryRules::of(&url)
            }
            None => RetryRules::of(OVERRIDES),
        }
    }
}

fn target(account: &SimulatedAccount, receiver: &str) -> String {
    let receiver = receiver.trim_end_matches('/');
    format!("{receiver}{}", account.webhook_path)
}

fn tried(delivery: &Result<WebhookDelivery, SimulatorError>) -> WebhookTry {
    match delivery {
        Ok(delivery) => WebhookTry::Answered(delivery.status),
        Err(SimulatorError::NoAnswer { source, .. }) if source.is_connect() => {
            WebhookTry::NoConnection
        }
        Err(_) => WebhookTry::NoAnswer,
    }
}

fn result_of(last: WebhookTry) -> WebhookResult {
    if last.is_delivered() {
        WebhookResult::Delivered
    } else {
        let error_code = last.error_code();
        WebhookResult::Failed { error_code }
    }
}
