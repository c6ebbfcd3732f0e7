//! What Twilio tells of a message that we sent: its status callback, and the codes in it.
//!
//! A callback may come twice, out of order, or before Twilio has answered the request that made the
//! message; carriers without receipts send none after `sent`. Who uses it must bear all of that.
//!
//! Source: Twilio docs, [outbound message
//! status](https://www.twilio.com/docs/messaging/guides/track-outbound-message-status).

pub use crate::message_status::MessageStatus;
pub use crate::payload::PayloadError as StatusError;
use crate::payload::{optional, required};
use crate::{AccountSid, MessageSid};

/// Longer than any status of Twilio's.
const MAX_STATUS: usize = 40;

/// One status callback. It holds no personal data, as it leaves out the recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusCallback {
    /// The message's SID.
    pub message_sid: MessageSid,
    /// The account that the message belongs to. A valid signature does not prove that it is ours:
    /// compare it.
    pub account_sid: AccountSid,
    /// The message's status.
    pub status: MessageStatus,
    /// Twilio's error code, if the message failed. See [`reason`].
    pub error_code: Option<u32>,
}

impl StatusCallback {
    /// Reads the parameters of the callback and ignores those that we do not use.
    pub fn from_fields(fields: &[(String, String)]) -> Result<Self, StatusError> {
        let message_sid = required(fields, "MessageSid")?;
        let account_sid = required(fields, "AccountSid")?;
        let status = required(fields, "MessageStatus")?;
        if status.is_empty() || status.len() > MAX_STATUS {
            return Err(StatusError::Malformed("MessageStatus"));
        }
        // Without an error, Twilio sends no code, an empty one or `0`.
        let error_code = match optional(fields, "ErrorCode", "ErrorCode")? {
            None | Some("" | "0") => None,
            Some(code) => Some(
                code.parse()
                    .map_err(|_| StatusError::Malformed("ErrorCode"))?,
            ),
        };
        Ok(Self {
            message_sid: message_sid
                .parse()
                .map_err(|_| StatusError::Malformed("MessageSid"))?,
            account_sid: account_sid
                .parse()
                .map_err(|_| StatusError::Malformed("AccountSid"))?,
            status: MessageStatus::parse(status),
            error_code,
        })
    }
}

/// Why an accepted message did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UndeliveredReason {
    /// The sender's queue was full.
    QueueOverflow,
    /// The account was suspended.
    Suspended,
    /// The phone is off or has no network.
    Unreachable,
    /// The phone or its carrier refuses messages from us.
    Blocked,
    /// The number does not exist.
    UnknownNumber,
    /// The number cannot get text messages.
    NotMobile,
    /// A carrier treats the message as spam.
    Filtered,
    /// A part of the message was lost.
    Incomplete,
    /// It would have cost more than allowed.
    TooExpensive,
    /// It was not delivered within its validity period.
    Expired,
    /// The recipient sent STOP to our number.
    OptedOut,
    /// Twilio suspects fraud.
    BlockedAsFraud,
    /// Our sender is not registered for this kind of traffic.
    NotRegistered,
    /// The carrier gives no reason, or one that we do not know.
    Unknown,
}

impl UndeliveredReason {
    /// The name in rows and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::QueueOverflow => "queue_overflow",
            Self::Suspended => "suspended",
            Self::Unreachable => "unreachable",
            Self::Blocked => "blocked",
            Self::UnknownNumber => "unknown_number",
            Self::NotMobile => "not_mobile",
            Self::Filtered => "filtered",
            Self::Incomplete => "incomplete",
            Self::TooExpensive => "too_expensive",
            Self::Expired => "expired",
            Self::OptedOut => "opted_out",
            Self::BlockedAsFraud => "blocked_as_fraud",
            Self::NotRegistered => "not_registered",
            Self::Unknown => "unknown",
        }
    }
}

/// Returns the meaning of the code of an undelivered or failed message.
pub fn reason(code: u32) -> UndeliveredReason {
    match code {
        30001 => UndeliveredReason::QueueOverflow,
        30002 => UndeliveredReason::Suspended,
        30003 => UndeliveredReason::Unreachable,
        30004 => UndeliveredReason::Blocked,
        30005 => UndeliveredReason::UnknownNumber,
        21614 | 21635 | 30006 => UndeliveredReason::NotMobile,
        30007 => UndeliveredReason::Filtered,
        30009 => UndeliveredReason::Incomplete,
        30010 => UndeliveredReason::TooExpensive,
        30036 => UndeliveredReason::Expired,
        21610 => UndeliveredReason::OptedOut,
        30450 | 60410 => UndeliveredReason::BlockedAsFraud,
        30032 | 30034 => UndeliveredReason::NotRegistered,
        _ => UndeliveredReason::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SID: &str = "SM0123456789abcdef0123456789ABCDEF";
    const ACCOUNT: &str = "AC0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f";

    fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let of_all = [("MessageSid", SID), ("AccountSid", ACCOUNT)];
        of_all
            .iter()
            .chain(pairs)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_callback_is_read_and_unused_parameters_are_ignored() {
        let callback = StatusCallback::from_fields(&fields(&[
            ("MessageStatus", "undelivered"),
            ("ErrorCode", "30005"),
            ("To", "+14155550123"),
            ("RawDlrDoneDate", "2611221200"),
        ]))
        .expect("a callback");
        assert_eq!(callback.message_sid.as_str(), SID);
        assert_eq!(callback.account_sid.as_str(), ACCOUNT);
        assert_eq!(callback.status, MessageStatus::Undelivered);
        assert_eq!(callback.error_code, Some(30005));
        assert!(!format!("{callback:?}").contains("+1415"));
    }

    #[test]
    fn an_absent_empty_or_zero_error_code_means_no_error() {
        for code in [None, Some(""), Some("0")] {
            let mut given = vec![("MessageStatus", "sent")];
            given.extend(code.map(|code| ("ErrorCode", code)));
            let callback = StatusCallback::from_fields(&fields(&given)).expect("a callback");
            assert_eq!(callback.error_code, None);
        }
    }

    #[test]
    fn a_missing_malformed_or_repeated_parameter_is_named() {
        let long = "a".repeat(41);
        for (given, expected) in [
            (&[][..], StatusError::Missing("MessageStatus")),
            (
                &[("MessageStatus", "")],
                StatusError::Malformed("MessageStatus"),
            ),
            (
                &[("MessageStatus", &long)],
                StatusError::Malformed("MessageStatus"),
            ),
            (
                &[("MessageStatus", "sent"), ("MessageStatus", "sent")],
                StatusError::Repeated("MessageStatus"),
            ),
            (
                &[("MessageStatus", "sent"), ("ErrorCode", "-1")],
                StatusError::Malformed("ErrorCode"),
            ),
            (
                &[("MessageStatus", "sent"), ("MessageSid", SID)],
                StatusError::Repeated("MessageSid"),
            ),
        ] {
            assert_eq!(StatusCallback::from_fields(&fields(given)), Err(expected));
        }
        let mut stranger = fields(&[("MessageStatus", "sent")]);
        stranger[0].1 = "+14155550123".to_owned();
        assert_eq!(
            StatusCallback::from_fields(&stranger),
            Err(StatusError::Malformed("MessageSid"))
        );
    }

    #[test]
    fn each_delivery_code_has_a_reason_from_a_closed_set() {
        for (code, label) in [
            (30001, "queue_overflow"),
            (30002, "suspended"),
            (30003, "unreachable"),
            (30004, "blocked"),
            (30005, "unknown_number"),
            (30006, "not_mobile"),
            (30007, "filtered"),
            (30008, "unknown"),
            (30009, "incomplete"),
            (30010, "too_expensive"),
            (30034, "not_registered"),
            (30036, "expired"),
            (30450, "blocked_as_fraud"),
            (21610, "opted_out"),
            (0, "unknown"),
            (u32::MAX, "unknown"),
        ] {
            assert_eq!(reason(code).label(), label, "{code}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_parameters_make_it_panic(status: String, code: String, sid in "[^S].*") {
            let pairs = [("MessageStatus", status), ("ErrorCode", code), ("MessageSid", sid), ("AccountSid", ACCOUNT.to_owned())];
            let pairs = pairs.map(|(name, value)| (name.to_owned(), value));
            proptest::prop_assert!(StatusCallback::from_fields(&pairs).is_err());
        }
    }
}
