//! What becomes of a message: its statuses, one after the other, and the callbacks that tell of them.

use std::time::Duration;

use anyhow::Context;
use secrecy::ExposeSecret;
use twilio::signature;

use super::{
    api::{Inner, Shared},
    behaviour::{Callbacks, Step},
    hex,
    ledger::{AcceptedMessage, CallbackDelivery},
};

/// Between a message's statuses, and before the first one, so that the request that made it is answered by then.
const PAUSE: Duration = Duration::from_millis(50);

/// How long Twilio waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Twilio tries once more if it gets no connection.
const CONNECTIONS: usize = 2;

pub(super) fn client() -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder()
        .timeout(TIMEOUT)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .context("cannot make an HTTP client")
}

/// Takes the message through its statuses. Each callback is answered before the next is made: the order is kept.
pub(super) async fn tell(api: Shared, message: AcceptedMessage, callbacks: Callbacks) {
    for step in callbacks.steps(message.messaging_service.is_some()) {
        if !callbacks.before_answer() {
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = api.stop.cancelled() => return,
            }
        }
        api.ledger.advance(&message.sid, &step);
        if let Some(url) = message
            .status_callback
            .as_deref()
            .filter(|_| callbacks.told())
        {
            let delivery = CallbackDelivery {
                message_sid: message.sid.clone(),
                status: step.status.clone(),
                http_status: post(&api, url, &message, &step).await,
            };
            api.ledger.change(|state| state.callbacks.push(delivery));
        }
    }
}

/// Signs it for the URL as it was given, and requests it where the receiver really is. Nobody else is ever called back.
async fn post(api: &Inner, url: &str, message: &AcceptedMessage, step: &Step) -> Option<u16> {
    let receiver = api.ledger.look(|state| state.receiver.clone());
    let target = receiver.and_then(|receiver| api.account.route(url, &receiver));
    let Some(target) = target else {
        tracing::warn!(
            "the simulated Twilio calls back nobody but the receiver that it is connected to"
        );
        return None;
    };
    let parameters = parameters(api, message, step);
    let token = api.account.auth_token.expose_secret();
    let signature = signature::sign(token, url, &parameters);
    let token = hex();
    for _ in 0..CONNECTIONS {
        let sent = api
            .client
            .post(&target)
            .header(signature::HEADER, &signature)
            .header("I-Twilio-Idempotency-Token", &token)
            .form(&parameters)
            .send()
            .await;
        match sent {
            Ok(answer) => return Some(answer.status().as_u16()),
            Err(error) if error.is_connect() => {}
            Err(_) => return None,
        }
    }
    None
}

fn parameters(api: &Inner, message: &AcceptedMessage, step: &Step) -> Vec<(String, String)> {
    let from = message.from.as_deref().unwrap_or(&api.account.number);
    let mut parameters = vec![
        ("ApiVersion", "2010-04-01".to_owned()),
        ("SmsSid", message.sid.clone()),
        ("SmsStatus", step.status.clone()),
        ("MessageSid", message.sid.clone()),
        ("MessageStatus", step.status.clone()),
        ("AccountSid", api.account.sid.to_string()),
        ("From", from.to_owned()),
        ("To", message.to.clone()),
    ];
    let service = message.messaging_service.clone();
    parameters.extend(service.map(|sid| ("MessagingServiceSid", sid)));
    parameters.extend(step.error_code.map(|code| ("ErrorCode", code.to_string())));
    if matches!(step.status.as_str(), "delivered" | "undelivered") {
        let done = message.at.format("%y%m%d%H%M").to_string();
        parameters.push(("RawDlrDoneDate", done));
    }
    let owned = |(name, value): (&str, String)| (name.to_owned(), value);
    parameters.into_iter().map(owned).collect()
}
