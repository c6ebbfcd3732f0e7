//! Our number at Twilio, or our messaging service: do messages to it reach the receiver?

use ::twilio::rest::{Client, IncomingNumber, MessagingService, Sender};

use super::{
    configuration::{part, unusable},
    finding::Finding,
    fix::{Change, Place, Plan},
    twilio::trouble,
    webhook::{self, OF_A_NUMBER, OF_A_SERVICE},
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
) -> (Vec<Finding>, Option<Plan>) {
    let mut findings = Vec::new();
    let Some(receiver) = part(env, ReceiverConfig::read) else {
        let finding = if role == Role::Worker {
            Finding::ok(
                WEBHOOK,
                "not looked at: it is the receivers' PUBLIC_BASE_URL that counts",
            )
        } else {
            unusable(WEBHOOK)
        };
        return (vec![finding], None);
    };
    let number = match look_for_number(config, &client).await {
        Ok(number) => number,
        Err(finding) => return (vec![finding], None),
    };
    findings.extend(number.as_ref().map(capable));
    let service = match look_for_service(env, &client, number.as_ref()).await {
        Ok(service) => service,
        Err(finding) => {
            findings.push(finding);
            return (findings, None);
        }
    };
    let base = &receiver.public_base_url;
    let (place, (judged, changes)) = match (service, number) {
        (Some((sid, service, true)), _) if !service.by_number => {
            let judged = webhook::judge(
                &service.inbound,
                base,
                "the messaging service's",
                OF_A_SERVICE,
            );
            (Place::Service(sid), judged)
        }
        (service, Some(number)) => {
            findings.extend(service.and_then(|(_, _, has)| (!has).then(not_in_the_service)));
            let judged = webhook::judge(&number.inbound, base, "the number's", OF_A_NUMBER);
            let application = number.application.as_deref().map(application);
            let (application, mut changes): (Vec<_>, Vec<_>) = application.into_iter().unzip();
            findings.extend(application);
            let (judged, more) = judged;
            changes.extend(more);
            (Place::Number(number.sid), (judged, changes))
        }
        (Some(_), None) => {
            findings.push(Finding::unchecked(
                WEBHOOK,
                "could not be checked: the messaging service leaves it to its numbers, and TWILIO_PHONE_NUMBER is not set",
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
    let plan = (!changes.is_empty()).then_some(Plan {
        client,
        place,
        changes,
    });
    (findings, plan)
}

async fn look_for_number(
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
            "set it to one that Twilio's console shows under Phone Numbers, in E.164; subaccounts have numbers of their own",
        )),
        Err(error) => Err(trouble(NUMBER, error)),
    }
}

fn capable(number: &IncomingNumber) -> Finding {
    if number.sms {
        Finding::ok(
            NUMBER,
            "the number is the account's, and takes text messages",
        )
    } else {
        Finding::fault(
            NUMBER,
            "the number cannot send or receive text messages",
            "buy one in Twilio's console that has the capability SMS, and set TWILIO_PHONE_NUMBER to it",
        )
    }
}

/// The service that is set, and whether its settings are about messages to the number. Without a number, they are.
async fn look_for_service(
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
            "set it to one that Twilio's console shows under Messaging, Services; or leave it out",
        ),
        error => trouble(SERVICE, error),
    })?;
    let has = match number {
        Some(number) => client
            .service_has(&sid, &number.sid)
            .await
            .map_err(|error| trouble(SERVICE, error))?,
        None => true,
    };
    Ok(Some((sid, service, has)))
}

fn not_in_the_service() -> Finding {
    Finding::warning(
        SERVICE,
        "TWILIO_PHONE_NUMBER is not among the senders of the messaging service: people get replies from another number \
         than they have written to",
        "add the number to the service's sender pool in Twilio's console",
    )
}

/// An application's URLs win over the number's.
fn application(sid: &str) -> (Finding, Change) {
    let finding = Finding::fault(
        "twilio_application",
        format!(
            "the number has a TwiML application ({sid}), whose URL is used in place of the number's own"
        ),
        "pigeonhole doctor --fix",
    );
    (
        finding,
        Change::new("SmsApplicationSid", sid, String::new()),
    )
}
