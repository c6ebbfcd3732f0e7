//! The simulated Twilio plays the account that the receiver is configured for.

use anyhow::Context;
use twilio_simulator::{MAGIC_NUMBER, SimulatedAccount, WebhookSender};

use crate::config::{ReceiverConfig, WEBHOOK_PATH};

/// The account that the receiver is configured for. It has no API keys.
pub(super) fn simulated_account(config: &ReceiverConfig) -> anyhow::Result<SimulatedAccount> {
    let token = config.twilio.auth_tokens.first().context("no auth token")?;
    let number = config.twilio.phone_number.as_ref();
    Ok(SimulatedAccount {
        sid: config.twilio.account_sid.clone(),
        auth_token: token.clone(),
        keys: Vec::new(),
        number: number
            .map_or(MAGIC_NUMBER, |number| number.as_str())
            .to_owned(),
        public_base_url: config.public_base_url.clone(),
        webhook_path: WEBHOOK_PATH.to_owned(),
    })
}

/// Sends webhooks of that account to the receiver at `receiver`, such as `http://127.0.0.1:3000`.
pub(crate) fn webhook_sender(
    config: &ReceiverConfig,
    receiver: &str,
) -> anyhow::Result<WebhookSender> {
    let account = simulated_account(config)?;
    let api_base_url = &config.twilio.api_base_url;
    Ok(WebhookSender::new(&account, api_base_url, receiver)?)
}
