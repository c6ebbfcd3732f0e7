//! The alerts of webhooks that failed. Twilio's Monitor keeps them for a limited time.
//!
//! Source: Twilio docs, [alerts](https://www.twilio.com/docs/usage/monitor-alert).

use std::ops::ControlFlow;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Client, ListError,
    pages::{Page, PageMeta},
};
use crate::{MessageSid, form, metrics::ApiCall};

/// Twilio's errors of requests to our URLs and of what we respond. Other alerts about a message are
/// not about its webhook.
const WEBHOOK_ERRORS: std::ops::Range<u32> = 11_000..13_000;

/// The most parameters of a webhook. The receiver has the same limit.
const MAX_PARAMETERS: usize = 200;

/// An alert: the webhook of a message failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookAlert {
    /// The alert's SID.
    pub sid: String,
    /// The message.
    pub message: MessageSid,
    /// Twilio's error code, such as 11200.
    pub error_code: u32,
    /// When the webhook failed.
    pub generated: DateTime<Utc>,
}

#[derive(Deserialize)]
struct AlertsPage {
    alerts: Vec<Alert>,
    meta: Option<PageMeta>,
}

impl Page for AlertsPage {
    type Row = Alert;

    fn into_parts(self) -> (Vec<Alert>, Option<String>) {
        (self.alerts, self.meta.and_then(|meta| meta.next_page_url))
    }
}

#[derive(Deserialize)]
struct Alert {
    sid: Option<String>,
    resource_sid: Option<String>,
    error_code: Option<Value>,
    date_generated: Option<String>,
}

impl Alert {
    /// `None` if it is about something else.
    fn into_webhook_alert(self) -> Option<WebhookAlert> {
        let error_code = match self.error_code? {
            Value::String(code) => code.trim().parse().ok()?,
            code => code.as_u64()?.try_into().ok()?,
        };
        let date = self.date_generated?;
        Some(WebhookAlert {
            sid: self.sid.filter(|sid| is_alert_sid(sid))?,
            message: self.resource_sid?.parse().ok()?,
            error_code,
            generated: DateTime::parse_from_rfc3339(&date).ok()?.to_utc(),
        })
        .filter(|alert| WEBHOOK_ERRORS.contains(&alert.error_code))
    }
}

/// The SID becomes part of a path.
fn is_alert_sid(sid: &str) -> bool {
    let digits = sid.strip_prefix("NO");
    digits.is_some_and(|d| d.len() == 32 && d.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[derive(Deserialize)]
struct AlertInstance {
    request_variables: Option<Value>,
}

impl AlertInstance {
    /// `None` if there are none, or if they cannot be read: the list has the message as well.
    fn into_parameters(self) -> Option<Vec<(String, String)>> {
        let parameters = match self.request_variables? {
            Value::String(text) => form::parse(text.as_bytes(), MAX_PARAMETERS).ok()?,
            Value::Object(map) => of_object(map)?,
            _ => return None,
        };
        (!parameters.is_empty()).then_some(parameters)
    }
}

fn of_object(map: Map<String, Value>) -> Option<Vec<(String, String)>> {
    if map.len() > MAX_PARAMETERS {
        return None;
    }
    let text = |(name, value)| match value {
        Value::String(text) => Some((name, text)),
        _ => None,
    };
    map.into_iter().map(text).collect()
}

impl Client {
    /// Returns the failed webhooks of messages that Twilio logged from `from` until `until`. An
    /// alert appears later than its webhook failed. Twilio lists at most 10,000 alerts of any kind.
    pub async fn webhook_alerts(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Vec<WebhookAlert>, ListError> {
        ApiCall::ListAlerts
            .measure(self.list_alerts(from, until))
            .await
    }

    #[tracing::instrument(name = "twilio.list_alerts", level = "debug", skip_all, fields(http.response.status_code = tracing::field::Empty))]
    async fn list_alerts(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Vec<WebhookAlert>, ListError> {
        let time = |time: DateTime<Utc>| time.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        // Twilio's dates have no fractions of a second.
        let until = until
            .checked_add_signed(TimeDelta::seconds(1))
            .unwrap_or(until);
        let (start, end) = (time(from), time(until));
        let filter = [
            ("LogLevel", "error"),
            ("StartDate", start.as_str()),
            ("EndDate", end.as_str()),
        ];
        let mut found = Vec::new();
        let base = self.0.on_host("monitor");
        let known = self
            .read_pages::<AlertsPage>(&base, "/v1/Alerts", &filter, |page| {
                found.extend(page.into_iter().filter_map(Alert::into_webhook_alert));
                ControlFlow::Continue(())
            })
            .await?;
        if known {
            Ok(found)
        } else {
            Err(ListError::Unreadable)
        }
    }

    /// Returns the parameters of the webhook as Twilio sent them, if the alert has them.
    pub async fn webhook_parameters(
        &self,
        alert: &WebhookAlert,
    ) -> Result<Option<Vec<(String, String)>>, ListError> {
        ApiCall::FetchAlert.measure(self.fetch_alert(alert)).await
    }

    #[tracing::instrument(name = "twilio.fetch_alert", level = "debug", skip_all, fields(http.response.status_code = tracing::field::Empty))]
    async fn fetch_alert(
        &self,
        alert: &WebhookAlert,
    ) -> Result<Option<Vec<(String, String)>>, ListError> {
        if !is_alert_sid(&alert.sid) {
            return Ok(None);
        }
        let url = format!("{}/v1/Alerts/{}", self.0.on_host("monitor"), alert.sid);
        let found: Option<AlertInstance> = self.read_json(&url).await?;
        Ok(found.and_then(AlertInstance::into_parameters))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn alert(code: &Value, resource: &str) -> Option<WebhookAlert> {
        let alert = json!({
            "sid": format!("NO{}", "1".repeat(32)), "resource_sid": resource, "error_code": code,
            "date_generated": "2023-08-24T05:01:45Z", "log_level": "error",
            "request_url": "https://sms.example.com/api/sms/webhook",
        });
        let alert: Alert = serde_json::from_value(alert).expect("an alert");
        alert.into_webhook_alert()
    }

    #[test]
    fn only_failed_webhooks_of_messages_count() {
        let message = format!("SM{}", "2".repeat(32));
        for code in [json!("11200"), json!(11_205), json!(" 12300 ")] {
            let alert = alert(&code, &message).expect("a failed webhook");
            assert_eq!(alert.message.as_str(), message);
            assert!(WEBHOOK_ERRORS.contains(&alert.error_code));
        }
        let call = format!("CA{}", "2".repeat(32));
        for (code, resource) in [
            (json!("11200"), call.as_str()),
            (json!("14101"), &message),
            (json!("30005"), &message),
            (json!(null), &message),
            (json!("none"), &message),
        ] {
            assert_eq!(alert(&code, resource), None, "{code} {resource}");
        }
    }

    #[test]
    fn parameters_are_read_as_they_were_sent() {
        let read = |variables: Value| {
            let alert = json!({ "request_variables": variables, "response_body": "<html>" });
            let alert: AlertInstance = serde_json::from_value(alert).expect("an alert");
            alert.into_parameters()
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let sent = vec![
            pair("FromCity", "SAN FRANCISCO"),
            pair("ToZip", ""),
            pair("Body", "a+b & c"),
        ];
        assert_eq!(
            read(json!("FromCity=SAN+FRANCISCO&ToZip=&Body=a%2Bb+%26+c")),
            Some(sent)
        );
        assert_eq!(read(json!({ "Body": "x" })), Some(vec![pair("Body", "x")]));
        for nothing in [
            json!(null),
            json!(""),
            json!("Body=%"),
            json!({ "Body": 1 }),
            json!([]),
        ] {
            assert_eq!(read(nothing.clone()), None, "{nothing}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_answer_makes_it_panic(body: Vec<u8>, text: String, code: u64) {
            drop(serde_json::from_slice::<AlertsPage>(&body));
            drop(serde_json::from_slice::<AlertInstance>(&body));
            for code in [json!(code), json!(text)] {
                let alert = json!({ "sid": text, "resource_sid": text, "error_code": code,
                    "date_generated": text });
                let alert: Alert = serde_json::from_value(alert).expect("an alert");
                alert.into_webhook_alert();
            }
            for variables in [json!(text), json!({ text.clone(): text })] {
                let alert = AlertInstance { request_variables: Some(variables) };
                alert.into_parameters();
            }
        }
    }
}
