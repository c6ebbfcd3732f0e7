//! The sender or the recipient of a message, as Twilio writes it.
//!
//! An address is kept unchanged. Removing non-digits could turn the address of a sender without a
//! phone number into a stranger's phone number. An address is personal data: it has no `Display`,
//! and `Debug` hides it.
//!
//! Source: Twilio docs, [inbound
//! messages](https://www.twilio.com/docs/messaging/guides/webhook-request).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longer than any address of any channel that Twilio documents.
const MAX_BYTES: usize = 256;

/// An address as Twilio wrote it: not empty, no control characters, at most 256 bytes.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

/// The form of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressKind {
    /// E.164: `+`, then 2 to 15 digits of which the first is not 0.
    Phone,
    /// Five or six digits.
    ShortCode,
    /// A sender's name: up to 11 letters, digits, blanks and `+ - _ &`, with at least one letter.
    Alphanumeric,
    /// `channel:address`, such as `whatsapp:+14155550123`.
    Channel,
    /// Any other text. It came with a valid signature, so it is kept.
    Other,
}

/// The text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an address")]
pub struct AddressError;

impl Address {
    /// The address as Twilio wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form of the address.
    pub fn kind(&self) -> AddressKind {
        let text = self.0.as_str();
        if is_phone(text) {
            AddressKind::Phone
        } else if (5..=6).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) {
            AddressKind::ShortCode
        } else if self.channel().is_some() {
            AddressKind::Channel
        } else if is_alphanumeric(text) {
            AddressKind::Alphanumeric
        } else {
            AddressKind::Other
        }
    }

    /// Returns the phone number in E.164, if the address is one. A number on another channel
    /// (`whatsapp:+…`) is not a phone number: a text message to it could reach another person.
    pub fn phone(&self) -> Option<&str> {
        is_phone(&self.0).then_some(self.0.as_str())
    }

    /// The channel's name and the address on it, for `channel:address`.
    pub fn channel(&self) -> Option<(&str, &str)> {
        let (channel, address) = self.0.split_once(':')?;
        let named = channel.starts_with(|c: char| c.is_ascii_lowercase())
            && channel
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
        (named && !address.is_empty()).then_some((channel, address))
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        if text.trim().is_empty() || text.len() > MAX_BYTES || text.contains(char::is_control) {
            return Err(AddressError);
        }
        Ok(Self(text))
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address([sealed]; {:?})", self.kind())
    }
}

/// `^\+[1-9]\d{1,14}$`
fn is_phone(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else {
        return false;
    };
    (2..=15).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.bytes().all(|b| b.is_ascii_digit())
}

fn is_alphanumeric(text: &str) -> bool {
    text.len() <= 11
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b" +-_&".contains(&b))
        && text.bytes().any(|b| b.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.to_owned().try_into().expect("an address")
    }

    #[test]
    fn the_form_of_an_address_is_detected_and_its_text_stays_unchanged() {
        for (text, kind) in [
            ("+14155550123", AddressKind::Phone),
            ("+12", AddressKind::Phone),
            ("+123456789012345", AddressKind::Phone),
            ("+1234567890123456", AddressKind::Other),
            ("+0415555012", AddressKind::Other),
            ("+1", AddressKind::Other),
            ("+1 415 555 0123", AddressKind::Other),
            ("14155550123", AddressKind::Other),
            ("+1415555012３", AddressKind::Other),
            ("12345", AddressKind::ShortCode),
            ("123456", AddressKind::ShortCode),
            ("1234567", AddressKind::Other),
            ("My Bank", AddressKind::Alphanumeric),
            ("A very long sender", AddressKind::Other),
            ("whatsapp:+14155550123", AddressKind::Channel),
            ("messenger:123", AddressKind::Channel),
            ("rcs:agent@x", AddressKind::Channel),
            ("whatsapp:", AddressKind::Other),
            (":x", AddressKind::Other),
        ] {
            assert_eq!(address(text).kind(), kind, "{text}");
            assert_eq!(address(text).as_str(), text);
        }
    }

    #[test]
    fn a_number_on_another_channel_is_not_a_phone_number() {
        assert_eq!(address("+14155550123").phone(), Some("+14155550123"));
        let whatsapp = address("whatsapp:+14155550123");
        assert_eq!(whatsapp.phone(), None);
        assert_eq!(whatsapp.channel(), Some(("whatsapp", "+14155550123")));
    }

    #[test]
    fn a_text_that_is_blank_too_long_or_has_control_characters_is_not_an_address() {
        for text in [
            String::new(),
            "  ".to_owned(),
            "a\0".to_owned(),
            "a\nb".to_owned(),
            "1".repeat(257),
        ] {
            assert_eq!(Address::try_from(text), Err(AddressError));
        }
    }

    #[test]
    fn debug_hides_the_number() {
        assert_eq!(
            format!("{:?}", address("+14155550123")),
            "Address([sealed]; Phone)"
        );
    }
}
