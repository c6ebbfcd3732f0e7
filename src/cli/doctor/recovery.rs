//! Checks that messages which no webhook brings can be recovered from Twilio.

use std::time::Duration;

use ::twilio::rest::{Client, ListError};
use chrono::{DateTime, TimeDelta, Utc};
use jobs::RecoveryNumbers;
use sqlx::PgConnection;
use store::recovery;

use super::{
    configuration::{part, unusable},
    database::here,
    finding::Finding,
};
use crate::{
    config::{Env, RecoveryConfig},
    presentation::text::duration,
};

const CHECK: &str = "recovery";

/// Looks come every two minutes. One that is older than this is late.
const LATE: Duration = Duration::from_mins(10);

/// How far back the lists are read.
const BACK: TimeDelta = TimeDelta::minutes(10);

/// Reads at Twilio what a look reads.
pub(super) async fn check(env: &Env, client: &Client) -> Vec<Finding> {
    let Some(config) = part(env, RecoveryConfig::read) else {
        return vec![unusable(CHECK)];
    };
    let Some(config) = config else {
        return vec![Finding::ok(
            CHECK,
            "messages whose webhooks fail are not recovered here: RECOVERY is off, or neither PUBLIC_BASE_URL nor \
             RECOVERY_NUMBERS is set",
        )];
    };
    match lists(&config, client, here()).await {
        Ok(findings) => findings,
        Err(error) => vec![failed(&error)],
    }
}

async fn lists(
    config: &RecoveryConfig,
    client: &Client,
    now: DateTime<Utc>,
) -> Result<Vec<Finding>, ListError> {
    let numbers = match &config.numbers {
        RecoveryNumbers::These(numbers) => numbers.clone(),
        RecoveryNumbers::PointingAt(url) => client.numbers_with_webhook(url).await?,
    };
    if numbers.is_empty() {
        return Ok(vec![Finding::warning(
            CHECK,
            "no number of the account has its webhook at PUBLIC_BASE_URL, so no message is recovered",
            "pigeonhole doctor --fix sets the webhook; or set RECOVERY_NUMBERS to the numbers that Twilio reaches you by",
        )]);
    }
    for number in &numbers {
        client.inbound_messages(number, now - BACK, now).await?;
    }
    let mut findings = vec![Finding::ok(
        CHECK,
        format!(
            "Twilio lists the messages to {} of our numbers, so those whose webhooks fail can be recovered",
            numbers.len()
        ),
    )];
    if let Err(error) = client.webhook_alerts(now - BACK, now).await {
        findings.push(Finding::warning(
            "recovery_alerts",
            format!(
                "{error}: recovered messages lack what only a webhook has, such as OptOutType and the sender's city"
            ),
            "allow HTTPS to monitor.twilio.com, and let the credentials read Monitor's alerts",
        ));
    }
    Ok(findings)
}

fn failed(error: &ListError) -> Finding {
    let says = format!("messages whose webhooks fail cannot be recovered: {error}");
    match error {
        ListError::Account { .. } => Finding::fault(
            CHECK,
            says,
            "use credentials that may read the account's messages and phone numbers",
        ),
        ListError::Unreadable => Finding::fault(
            CHECK,
            says,
            "look for a newer version of Pigeonhole, or set TWILIO_API_BASE_URL to https://api.twilio.com",
        ),
        ListError::Throttled { .. } | ListError::Unavailable(_) | ListError::TooLong => {
            Finding::unchecked(CHECK, says)
        }
    }
}

/// How long ago a worker looked.
pub(super) async fn last_look(env: &Env, conn: &mut PgConnection) -> Option<Finding> {
    const LOOK: &str = "recovery_look";
    part(env, RecoveryConfig::read).flatten()?;
    let age = match recovery::oldest_look(conn).await {
        Ok(age) => age,
        Err(error) => return Some(Finding::failed(LOOK, error)),
    };
    Some(match age {
        None => Finding::ok(LOOK, "no worker has looked for lost messages yet"),
        Some(age) => {
            let ago = duration(TimeDelta::from_std(age).unwrap_or_default());
            if age <= LATE {
                Finding::ok(LOOK, format!("lost messages were looked for {ago} ago"))
            } else {
                Finding::warning(
                    LOOK,
                    format!("lost messages were last looked for {ago} ago"),
                    "pigeonhole recover shows why, if it fails; otherwise check that a worker with RECOVERY=on runs",
                )
            }
        }
    })
}
