//! Moves an accepted message through its statuses and reports each one by a callback.

use std::{sync::Arc, time::Duration};

use secrecy::ExposeSecret;
use twilio::signature;

use crate::{
    behaviour::{Callbacks, StatusStep},
    context::ApiContext,
    ids::random_hex,
    send_state::{AcceptedMessage, CallbackDelivery},
};

/// The pause before each status. The first one lets the request that made the message end.
const PAUSE: Duration = Duration::from_millis(50);

/// Twilio tries once more if it cannot connect.
const CONNECTION_ATTEMPTS: usize = 2;

/// Moves the message through its statuses. It waits for the answer to each callback before the next
/// one, so callbacks arrive in order.
pub(crate) async fn report_statuses(
    api: Arc<ApiContext>,
    message: AcceptedMessage,
    callbacks: Callbacks,
) {
    for step in callbacks.steps(message.messaging_service.is_some()) {
        if !callbacks.before_answer() {
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = api.stop.cancelled() => return,
            }
        }
        api.state.advance(&message.sid, &step);
        if let Some(url) = message
            .status_callback
            .as_deref()
            .filter(|_| callbacks.are_made())
        {
            let delivery = CallbackDelivery {
                message_sid: message.sid.clone(),
                status: step.status.clone(),
                http_status: post(&api, url, &message, &step).await,
            };
            api.state.update(|state| state.callbacks.push(delivery));
        }
    }
}

/// Signs the callback for the URL that the client gave, and posts it to the connected receiver. The
/// simulator never calls anyone else.
async fn post(
    api: &ApiContext,
    url: &str,
    message: &AcceptedMessage,
    step: &StatusStep,
) -> Option<u16> {
    let receiver = api.state.read(|state| state.receiver.clone());
    let target = receiver.and_then(|receiver| api.account.route(url, &receiver));
    let Some(target) = target else {
        tracing::warn!(
            "a status callback was dropped: the simulated Twilio calls only the receiver that it is \
             connected to"
        );
        return None;
    };
    let parameters = parameters(api, message, step);
    let token = api.account.auth_token.expose_secret();
    let signature = signature::sign(token, url, &parameters);
    let token = random_hex();
    for _ in 0..CONNECTION_ATTEMPTS {
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

fn parameters(
    api: &ApiContext,
    message: &AcceptedMessage,
    step: &StatusStep,
) -> Vec<(String, String)> {
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
