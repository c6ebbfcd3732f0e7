//! Messages in the REST API: requests and answers.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::{MessageSid, MessageStatus};

/// Twilio's limits of `ValidityPeriod`, in seconds.
const VALIDITY: (u64, u64) = (1, 36_000);

/// The sender of a message.
#[derive(Clone, PartialEq, Eq)]
pub enum Sender {
    /// A number of ours, in E.164.
    Number(String),
    /// The SID of a Messaging Service, which picks a number.
    MessagingService(String),
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(_) => f.write_str("Number([sealed])"),
            Self::MessagingService(sid) => f.debug_tuple("MessagingService").field(sid).finish(),
        }
    }
}

/// A message to be sent.
#[derive(Clone, Copy)]
pub struct OutboundMessage<'a> {
    /// The recipient, in E.164.
    pub to: &'a str,
    /// The sender.
    pub from: &'a Sender,
    /// The text.
    pub body: &'a str,
    /// The URL for status callbacks.
    pub status_callback: Option<&'a str>,
    /// The longest time until delivery. Twilio does not send the message later. It accepts whole
    /// seconds from 1 to 36,000.
    pub validity: Duration,
}

impl OutboundMessage<'_> {
    pub(super) fn form(&self) -> Vec<(&'static str, String)> {
        let validity = self.validity.as_secs().clamp(VALIDITY.0, VALIDITY.1);
        let mut form = vec![
            ("To", self.to.to_owned()),
            match self.from {
                Sender::Number(number) => ("From", number.clone()),
                Sender::MessagingService(sid) => ("MessagingServiceSid", sid.clone()),
            },
            ("Body", self.body.to_owned()),
            ("ValidityPeriod", validity.to_string()),
        ];
        form.extend(
            self.status_callback
                .map(|url| ("StatusCallback", url.to_owned())),
        );
        form
    }
}

impl fmt::Debug for OutboundMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OutboundMessage([sealed])")
    }
}

/// A message that Twilio accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedMessage {
    /// The message's SID.
    pub sid: MessageSid,
    /// Mostly `queued` or, with a Messaging Service, `accepted`.
    pub status: MessageStatus,
}

impl CreatedMessage {
    /// Reads the answer to a request that created a message.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Answer {
            sid: MessageSid,
            status: String,
        }
        let answer: Answer = serde_json::from_slice(body).ok()?;
        Some(Self {
            sid: answer.sid,
            status: MessageStatus::parse(&answer.status),
        })
    }
}

/// A message in Twilio's list.
#[derive(Clone, PartialEq, Eq)]
pub struct MessageRecord {
    /// The message's SID.
    pub sid: MessageSid,
    /// The recipient.
    pub to: String,
    /// The text. It is empty if the account redacts bodies.
    pub body: String,
    /// The message's status.
    pub status: MessageStatus,
    /// Twilio's error code, if the message failed.
    pub error_code: Option<u32>,
    /// When Twilio created it, by Twilio's clock, to the second.
    pub created: DateTime<Utc>,
    /// `outbound-api` for messages sent through the API.
    pub direction: String,
}

impl fmt::Debug for MessageRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageRecord")
            .field("sid", &self.sid)
            .field("status", &self.status)
            .field("error_code", &self.error_code)
            .field("created", &self.created)
            .finish_non_exhaustive()
    }
}

/// One page of the list.
pub(super) struct MessagePage {
    pub(super) messages: Vec<MessageRecord>,
    /// Path and query of the next page.
    pub(super) next: Option<String>,
}

impl MessagePage {
    /// Reads a page. If one record cannot be read, the whole page fails: it may be the wanted one.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Answer {
            messages: Vec<Record>,
            next_page_uri: Option<String>,
        }
        #[derive(Deserialize)]
        struct Record {
            sid: MessageSid,
            to: Option<String>,
            body: Option<String>,
            status: String,
            error_code: Option<u32>,
            date_created: String,
            direction: Option<String>,
        }
        let answer: Answer = serde_json::from_slice(body).ok()?;
        let read = |record: Record| {
            let created = DateTime::parse_from_rfc2822(&record.date_created).ok()?;
            Some(MessageRecord {
                sid: record.sid,
                to: record.to.unwrap_or_default(),
                body: record.body.unwrap_or_default(),
                status: MessageStatus::parse(&record.status),
                error_code: record.error_code,
                created: created.to_utc(),
                direction: record.direction.unwrap_or_default(),
            })
        };
        Some(Self {
            messages: answer
                .messages
                .into_iter()
                .map(read)
                .collect::<Option<_>>()?,
            next: answer.next_page_uri.filter(|uri| !uri.is_empty()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(message: &OutboundMessage<'_>, name: &str) -> Option<String> {
        let form = message.form();
        form.into_iter()
            .find_map(|(n, value)| (n == name).then_some(value))
    }

    #[test]
    fn a_validity_is_rounded_down_to_seconds_and_kept_within_twilios_limits() {
        for (asked, told) in [
            (Duration::ZERO, "1"),
            (Duration::from_millis(9_999), "9"),
            (Duration::from_mins(10), "600"),
            (Duration::from_secs(36_001), "36000"),
            (Duration::MAX, "36000"),
        ] {
            let from = Sender::Number("+15005550006".to_owned());
            let message = OutboundMessage {
                to: "+14155550123",
                from: &from,
                body: "",
                status_callback: None,
                validity: asked,
            };
            assert_eq!(field(&message, "ValidityPeriod").as_deref(), Some(told));
        }
    }

    #[test]
    fn a_message_goes_from_a_number_or_a_service_and_never_both() {
        for (from, told, untold) in [
            (
                Sender::Number("+1500".to_owned()),
                "From",
                "MessagingServiceSid",
            ),
            (
                Sender::MessagingService("MG1".to_owned()),
                "MessagingServiceSid",
                "From",
            ),
        ] {
            let message = OutboundMessage {
                to: "+14155550123",
                from: &from,
                body: "hello",
                status_callback: Some("https://sms.example.com/api/sms/status?send=1"),
                validity: Duration::from_mins(1),
            };
            assert!(field(&message, told).is_some());
            assert_eq!(field(&message, untold), None);
            assert_eq!(field(&message, "Body").as_deref(), Some("hello"));
            let callback = field(&message, "StatusCallback").expect("a callback");
            assert_eq!(callback, "https://sms.example.com/api/sms/status?send=1");
        }
    }

    #[test]
    fn debug_shows_no_number_and_no_body() {
        let from = Sender::Number("+15005550006".to_owned());
        let message = OutboundMessage {
            to: "+14155550123",
            from: &from,
            body: "123456",
            status_callback: None,
            validity: Duration::from_mins(1),
        };
        let record =
            br#"{"messages":[{"sid":"SM0123456789abcdef0123456789abcdef","to":"+14155550123",
            "body":"123456","status":"sent","error_code":null,"direction":"outbound-api",
            "date_created":"Thu, 24 Aug 2023 05:01:45 +0000"}],"next_page_uri":null}"#;
        let page = MessagePage::read(record).expect("a page");
        let shown = format!("{message:?} {from:?} {:?}", page.messages);
        assert!(shown.contains("SM0123456789abcdef0123456789abcdef"));
        for hidden in ["+1", "555", "123456\""] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_answer_makes_it_panic(body: Vec<u8>, text: String) {
            CreatedMessage::read(&body);
            MessagePage::read(&body);
            let json = serde_json::json!({ "sid": text, "status": text, "messages": [{ "sid": text }] });
            let json = json.to_string();
            assert!(CreatedMessage::read(json.as_bytes()).is_none());
            assert!(MessagePage::read(json.as_bytes()).is_none());
        }
    }
}
