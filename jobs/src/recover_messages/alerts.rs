//! The failed webhooks of missing messages. Twilio's alerts say why each failed, and have its
//! parameters.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use twilio::{
    MessageSid,
    rest::{InboundRecord, WebhookAlert},
};

use super::list::CLOCK_MARGIN;
use crate::RecoveryDeps;

/// Most parameters of webhooks that one look asks for, a request each. The messages beyond are
/// rebuilt from the list.
const MOST_REQUESTS: usize = 200;

/// The failed webhooks that a look knows of.
#[derive(Debug, Default)]
pub(super) struct FailedWebhooks {
    /// The latest alert of each message; `None` before the list of alerts was read.
    alerts: Option<HashMap<MessageSid, WebhookAlert>>,
    /// How many parameters were asked for.
    requests: usize,
}

impl FailedWebhooks {
    /// Reads the alerts of the time from the oldest of these messages, once in a look. If Twilio
    /// does not return them, the messages are rebuilt from the list.
    pub(super) async fn read(
        &mut self,
        deps: &RecoveryDeps,
        missing: &[InboundRecord],
        now: DateTime<Utc>,
    ) {
        let Some(oldest) = missing.first() else {
            return;
        };
        if self.alerts.is_some() {
            return;
        }
        let (from, until) = (oldest.sent - CLOCK_MARGIN, now + CLOCK_MARGIN);
        let mut alerts: HashMap<MessageSid, WebhookAlert> = HashMap::new();
        match deps.twilio.webhook_alerts(from, until).await {
            Ok(listed) => {
                for alert in listed {
                    let known = alerts.get(&alert.message);
                    if known.is_none_or(|known| known.generated < alert.generated) {
                        alerts.insert(alert.message.clone(), alert);
                    }
                }
            }
            Err(error) => tracing::warn!(
                %error,
                "Twilio's alerts cannot be read: messages are recovered from its list alone"
            ),
        }
        self.alerts = Some(alerts);
    }

    /// Twilio's error code of this message's webhook, if there is an alert.
    pub(super) fn error_code(&self, message: &MessageSid) -> Option<u32> {
        Some(self.alerts.as_ref()?.get(message)?.error_code)
    }

    /// Takes the alerts of those of these messages whose parameters are asked for.
    pub(super) fn take(&mut self, messages: &[InboundRecord]) -> Vec<Option<WebhookAlert>> {
        let mut left = MOST_REQUESTS - self.requests;
        let alert = |record: &InboundRecord| {
            let alert = self.alerts.as_ref()?.get(&record.sid).cloned();
            let alert = alert.filter(|_| left > 0)?;
            left -= 1;
            Some(alert)
        };
        let taken: Vec<_> = messages.iter().map(alert).collect();
        self.requests = MOST_REQUESTS - left;
        taken
    }
}

/// Returns the parameters of a failed webhook. `None` if Twilio does not return them.
pub(super) async fn parameters(
    deps: &RecoveryDeps,
    alert: Option<&WebhookAlert>,
) -> Option<Vec<(String, String)>> {
    match deps.twilio.webhook_parameters(alert?).await {
        Ok(parameters) => parameters,
        Err(error) => {
            tracing::debug!(%error, "the parameters of a failed webhook cannot be read");
            None
        }
    }
}
