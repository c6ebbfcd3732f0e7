//! The messages that the simulated Twilio has taken from people, and the alerts of their webhooks.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    conditions::ApiConditions,
    ids::{now, random_hex},
    inbound_text::parameter,
};

/// A message that Twilio has taken. It stays here whatever happens to its webhook.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct ReceivedText {
    /// The message's SID.
    pub sid: String,
    /// When it was taken.
    pub at: DateTime<Utc>,
    /// The parameters of its webhook.
    pub parameters: Vec<(String, String)>,
    /// SID and content type of each file.
    pub media: Vec<(String, String)>,
    /// From when on the list of messages shows it.
    pub listed_from: DateTime<Utc>,
    /// Whether its text was redacted.
    pub redacted: bool,
    /// Whether it was deleted. The API no longer shows it then.
    pub deleted: bool,
    /// How often its webhook was posted.
    pub tries: u32,
    /// What became of its webhook.
    pub webhook: WebhookResult,
}

impl fmt::Debug for ReceivedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedText")
            .field("sid", &self.sid)
            .field("at", &self.at)
            .field("tries", &self.tries)
            .field("webhook", &self.webhook)
            .finish_non_exhaustive()
    }
}

impl ReceivedText {
    pub(crate) fn parameter(&self, name: &str) -> &str {
        parameter(&self.parameters, name)
    }

    /// The text as the API shows it.
    pub(crate) fn body(&self) -> &str {
        if self.redacted {
            ""
        } else {
            self.parameter("Body")
        }
    }
}

/// What became of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookResult {
    /// It is being delivered.
    Pending,
    /// The receiver answered 2xx.
    Delivered,
    /// It failed for good.
    Failed {
        /// Twilio's error code.
        error_code: u32,
    },
}

/// An entry of Monitor.
#[derive(Clone)]
pub(crate) struct MonitorAlert {
    pub(crate) sid: String,
    pub(crate) message_sid: String,
    pub(crate) error_code: u32,
    pub(crate) generated: DateTime<Utc>,
    pub(crate) listed_from: DateTime<Utc>,
    pub(crate) parameters: Vec<(String, String)>,
}

/// Identifies a message in the order of their times.
type TextKey = (DateTime<Utc>, u64);

/// All messages that were taken, and their alerts.
#[derive(Default)]
pub(crate) struct ReceivedTexts {
    texts: BTreeMap<TextKey, ReceivedText>,
    by_sid: HashMap<String, TextKey>,
    /// Our numbers that got messages.
    recipients: HashSet<String>,
    /// Oldest first.
    pub(crate) alerts: Vec<MonitorAlert>,
}

impl ReceivedTexts {
    /// Takes the message of a webhook with these parameters, unless it is known.
    pub(crate) fn take(
        &mut self,
        parameters: &[(String, String)],
        at: DateTime<Utc>,
        conditions: &ApiConditions,
    ) {
        let sid = parameter(parameters, "MessageSid").to_owned();
        if self.by_sid.contains_key(&sid) {
            return;
        }
        let key = (at, self.by_sid.len() as u64);
        self.by_sid.insert(sid.clone(), key);
        let recipient = parameter(parameters, "To");
        if !self.recipients.contains(recipient) {
            self.recipients.insert(recipient.to_owned());
        }
        let text = ReceivedText {
            sid,
            at,
            media: files(parameters),
            parameters: parameters.to_vec(),
            listed_from: at + conditions.list_delay(),
            redacted: false,
            deleted: false,
            tries: 0,
            webhook: WebhookResult::Pending,
        };
        self.texts.insert(key, text);
    }

    /// Notes what became of a message's webhook. A failed one makes an alert.
    pub(crate) fn end_webhook(
        &mut self,
        sid: &str,
        tries: u32,
        result: WebhookResult,
        conditions: &ApiConditions,
    ) {
        let Some(text) = self.get_mut(sid) else {
            return;
        };
        text.tries += tries;
        text.webhook = result;
        let WebhookResult::Failed { error_code } = result else {
            return;
        };
        if conditions.without_alerts {
            return;
        }
        let parameters = text.parameters.clone();
        let generated = now();
        self.alerts.push(MonitorAlert {
            sid: format!("NO{}", random_hex()),
            message_sid: sid.to_owned(),
            error_code,
            generated,
            listed_from: generated + conditions.alert_delay(),
            parameters,
        });
    }

    pub(crate) fn get(&self, sid: &str) -> Option<&ReceivedText> {
        self.texts.get(self.by_sid.get(sid)?)
    }

    pub(crate) fn get_mut(&mut self, sid: &str) -> Option<&mut ReceivedText> {
        self.texts.get_mut(self.by_sid.get(sid)?)
    }

    /// Whether a message went to this number.
    pub(crate) fn is_recipient(&self, number: &str) -> bool {
        self.recipients.contains(number)
    }

    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &ReceivedText> {
        self.texts.values().rev()
    }

    /// All messages, oldest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &ReceivedText> {
        self.texts.values()
    }
}

/// SID and content type of each file that the webhook announces.
fn files(parameters: &[(String, String)]) -> Vec<(String, String)> {
    let file = |index: usize| {
        let url = parameter(parameters, &format!("MediaUrl{index}"));
        let sid = url.rsplit_once('/')?.1;
        let content_type = parameter(parameters, &format!("MediaContentType{index}"));
        Some((sid.to_owned(), content_type.to_owned()))
    };
    (0..).map_while(file).collect()
}
