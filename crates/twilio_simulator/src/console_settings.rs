//! The settings of Twilio's console: the account's state, and the webhooks of its number and its
//! messaging services.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::account::SimulatedAccount;

/// The settings of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsoleSettings {
    /// `active`, `suspended` or `closed`.
    pub account_status: String,
    /// Whether it is a trial account.
    pub trial: bool,
    /// The account's phone number.
    pub number: NumberSettings,
    /// Its other phone numbers, in E.164.
    #[serde(default)]
    pub other_numbers: BTreeMap<String, NumberSettings>,
    /// The `SmsUrl` of each `TwiML` application, by SID.
    #[serde(default)]
    pub applications: BTreeMap<String, String>,
    /// Messaging services, by SID.
    pub services: BTreeMap<String, ServiceSettings>,
}

/// The webhooks of the phone number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "these are Twilio's own names")]
#[serde(deny_unknown_fields)]
pub struct NumberSettings {
    pub sms_url: String,
    pub sms_method: String,
    pub sms_fallback_url: String,
    pub sms_fallback_method: String,
    pub sms_application_sid: String,
    /// Whether the number can send and receive text messages.
    pub sms: bool,
}

/// The webhooks of a messaging service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "these are Twilio's own names")]
#[serde(default, deny_unknown_fields)]
pub struct ServiceSettings {
    pub inbound_request_url: String,
    pub inbound_method: String,
    pub fallback_url: String,
    pub fallback_method: String,
    pub use_inbound_webhook_on_number: bool,
    /// Whether the account's number belongs to the service.
    pub has_number: bool,
}

impl ConsoleSettings {
    /// The settings of an account that is set up correctly.
    pub(crate) fn of(account: &SimulatedAccount) -> Self {
        let webhook = format!("{}#rc=3&rp=all", account.webhook_url());
        Self {
            account_status: "active".to_owned(),
            trial: false,
            number: NumberSettings {
                sms_url: webhook.clone(),
                sms_method: "POST".to_owned(),
                sms_fallback_url: webhook,
                sms_fallback_method: "POST".to_owned(),
                sms_application_sid: String::new(),
                sms: true,
            },
            other_numbers: BTreeMap::new(),
            applications: BTreeMap::new(),
            services: BTreeMap::new(),
        }
    }
}
