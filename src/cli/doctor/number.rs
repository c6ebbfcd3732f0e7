//! Checks our number or messaging service at Twilio: whether its webhook is the receiver.

use ::twilio::rest::{Client, IncomingNumber, MessagingService, Sender};

use super::{
    api_error::finding_of,
    change::ProposedChange,
    configuration::{part, unusable},
    finding::Finding,
    fix::{TwilioFix, TwilioResource},
    webhook::{self, NUMBER_SETTINGS, SERVICE_SETTINGS},
};
use crate::{
    config::{Env, ReceiverConfig, SendingConfig, TwilioConfig},
    services::Role,
};

const NUMBER: &str = "twilio_number";
const SERVICE: &str = "twilio_messaging_service";
const WEBHOOK: &str = "twilio_webhook";

pub(super) async fn check(
    env: &Env,
    role: Role,
    config: &TwilioConfig,
    client: Client,
) -> (Vec<Finding>, Option<TwilioFix>) {
    let mut findings = Vec::new();
    let Some(receiver) = part(env, ReceiverConfig::read) else {
        let finding = if role == Role::Worker {
            Finding::ok(
                WEBHOOK,
                "not checked: that needs the receivers' PUBLIC_BASE_URL",
            )
        } else {
            unusable(WEBHOOK)
        };
        return (vec![finding], None);
    };
    let number = match find_number(config, &client).await {
        Ok(number) => number,
        Err(finding) => return (vec![finding], None),
    };
    findings.extend(number.as_ref().map(capable));
    let service = match find_service(env, &client, number.as_ref()).await {
        Ok(service) => service,
        Err(finding) => {
            findings.push(finding);
            return (findings, None);
        }
    };
    let base = &receiver.public_base_url;
    let (resource, (judged, changes)) = match (service, number) {
        (Some((sid, service, true)), _) if !service.by_number => {
            let judged = webhook::judge(
                &service.inbound,
                base,
                "the messaging service's",
                SERVICE_SETTINGS,
            );
            (TwilioResource::Service(sid), judged)
        }
        (service, Some(number)) => {
            findings.extend(service.and_then(|(_, _, has)| (!has).then(not_in_the_service)));
            let judged = webhook::judge(&number.inbound, base, "the number's", NUMBER_SETTINGS);
            let application = number.application.as_deref().map(application);
            let (application, mut changes): (Vec<_>, Vec<_>) = application.into_iter().unzip();
            findings.extend(application);
            let (judged, more) = judged;
            changes.extend(more);
            (TwilioResource::Number(number.sid), (judged, changes))
        }
        (Some(_), None) => {
            findings.push(Finding::unchecked(
                WEBHOOK,
                "could not be checked: the messaging service uses the webhooks of its numbers, and TWILIO_PHONE_NUMBER is \
                 not set",
            ));
            return (findings, None);
        }
        (None, None) => {
            findings.push(Finding::warning(
                NUMBER,
                "neither TWILIO_PHONE_NUMBER nor TWILIO_MESSAGING_SERVICE_SID is set: no SMS can be sent, and the \
                 webhook cannot be checked",
                "set TWILIO_PHONE_NUMBER",
            ));
            return (findings, None);
        }
    };
    findings.extend(judged);
    let fix = (!changes.is_empty()).then_some(TwilioFix {
        client,
        resource,
        changes,
    });
    (findings, fix)
}

async fn find_number(
    config: &TwilioConfig,
    client: &Client,
) -> Result<Option<IncomingNumber>, Finding> {
    let Some(number) = &config.phone_number else {
        return Ok(None);
    };
    match client.number(number.as_str()).await {
        Ok(Some(number)) => Ok(Some(number)),
        Ok(None) => Err(Finding::fault(
            NUMBER,
            "TWILIO_PHONE_NUMBER is not one of the account's numbers",
            "set it, in E.164, to a number that Twilio's console shows under Phone Numbers; a subaccount has its own numbers",
        )),
        Err(error) => Err(finding_of(NUMBER, error)),
    }
}

fn capable(number: &IncomingNumber) -> Finding {
    if number.sms {
        Finding::ok(
            NUMBER,
            "the number belongs to the account and can receive text messages",
        )
    } else {
        Finding::fault(
            NUMBER,
            "the number cannot send or receive text messages",
            "buy a number with the capability SMS in Twilio's console, and set TWILIO_PHONE_NUMBER to it",
        )
    }
}

/// The configured service, and whether the number belongs to it. Without a number the second value
/// is true.
async fn find_service(
    env: &Env,
    client: &Client,
    number: Option<&IncomingNumber>,
) -> Result<Option<(String, MessagingService, bool)>, Finding> {
    let Some(sending) = part(env, SendingConfig::read) else {
        return Err(unusable(SERVICE));
    };
    let sender = sending.map(|sending| sending.sender);
    let Some(Sender::MessagingService(sid)) = sender else {
        return Ok(None);
    };
    let service = client.service(&sid).await.map_err(|error| match error {
        ::twilio::rest::AskError::NotThere => Finding::fault(
            SERVICE,
            "TWILIO_MESSAGING_SERVICE_SID is not one of the account's messaging services",
            "set it to a service that Twilio's console shows under Messaging, Services; or remove the setting",
        ),
        error => finding_of(SERVICE, error),
    })?;
    let has = match number {
        Some(number) => client
            .service_has(&sid, &number.sid)
            .await
            .map_err(|error| finding_of(SERVICE, error))?,
        None => true,
    };
    Ok(Some((sid, service, has)))
}

fn not_in_the_service() -> Finding {
    Finding::warning(
        SERVICE,
        "TWILIO_PHONE_NUMBER is not among the senders of the messaging service, so replies come from a different \
         number",
        "add the number to the service's sender pool in Twilio's console",
    )
}

/// Twilio uses an application's URLs instead of the number's own.
fn application(sid: &str) -> (Finding, ProposedChange) {
    let finding = Finding::fault(
        "twilio_application",
        format!(
            "the number has a TwiML application ({sid}), and Twilio uses its URL instead of the number's own"
        ),
        "pigeonhole doctor --fix",
    );
    (
        finding,
        ProposedChange::new("SmsApplicationSid", sid, String::new()),
    )
}
