//! Twilio's identifiers: two letters for the kind, and 32 hexadecimal digits.
//!
//! A value of these types is well formed. Its case is kept as given. A SID is not personal data and
//! may be logged.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The text is not a SID of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a {0} SID")]
pub struct SidError(&'static str);

macro_rules! sid {
    ($(#[$doc:meta])* $name:ident, $thing:literal, $prefixes:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The SID as Twilio writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = SidError;

            fn try_from(text: String) -> Result<Self, SidError> {
                if is_sid(&text, &$prefixes) { Ok(Self(text)) } else { Err(SidError($thing)) }
            }
        }

        impl FromStr for $name {
            type Err = SidError;

            fn from_str(text: &str) -> Result<Self, SidError> {
                text.to_owned().try_into()
            }
        }

        impl From<$name> for String {
            fn from(sid: $name) -> Self {
                sid.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

sid! {
    /// A message: `SM` or `MM`, and 32 hexadecimal digits.
    MessageSid, "message", ["SM", "MM"]
}

sid! {
    /// An account or subaccount: `AC`, and 32 hexadecimal digits.
    AccountSid, "account", ["AC"]
}

sid! {
    /// A media file: `ME`, and 32 hexadecimal digits.
    MediaSid, "media", ["ME"]
}

sid! {
    /// A phone number of an account: `PN`, and 32 hexadecimal digits.
    PhoneNumberSid, "phone number", ["PN"]
}

fn is_sid(text: &str, prefixes: &[&str]) -> bool {
    let digits = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix));
    digits.is_some_and(|d| d.len() == 32 && d.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sid_is_two_letters_and_32_hexadecimal_digits_in_the_case_given() {
        let digits = "0123456789abcdefABCDEF0123456789";
        for prefix in ["SM", "MM"] {
            let text = format!("{prefix}{digits}");
            assert_eq!(text.parse::<MessageSid>().expect("a SID").as_str(), text);
        }
        let short = format!("SM{}", &digits[1..]);
        let long = format!("SM{digits}0");
        let wrong = format!("SM{}g", &digits[1..]);
        let wide = format!("SM{}é", &digits[2..]);
        for text in [
            "",
            "SM",
            digits,
            &short,
            &long,
            &wrong,
            &wide,
            &format!("AC{digits}"),
            &format!("sm{digits}"),
        ] {
            assert!(text.parse::<MessageSid>().is_err(), "{text}");
        }
        assert!(format!("AC{digits}").parse::<AccountSid>().is_ok());
        assert!(format!("SM{digits}").parse::<AccountSid>().is_err());
    }

    #[test]
    fn a_stored_sid_is_checked_again_when_read() {
        let text = r#""SM0123456789abcdef0123456789abcdef""#;
        let sid: MessageSid = serde_json::from_str(text).expect("a SID");
        assert_eq!(serde_json::to_string(&sid).expect("JSON"), text);
        let error = serde_json::from_str::<MessageSid>(r#""SM' or 1=1""#).expect_err("no SID");
        assert!(error.to_string().starts_with("not a message SID"));
    }
}
