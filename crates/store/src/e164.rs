//! A phone number in E.164 form, which never shows itself in a log.

use std::fmt;

/// A phone number in E.164 form: a plus sign, then 2 to 15 digits, the first not zero. `Debug`
/// prints `[sealed]`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct E164(String);

/// The text is not an E.164 number. Does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an E.164 number: a plus sign, then 2 to 15 digits without spaces, as in +15555550123")]
pub struct NotE164;

impl E164 {
    /// Takes a text that already is in E.164 form. Checks the form only, not whether the number
    /// exists.
    pub fn parse(text: &str) -> Result<Self, NotE164> {
        let digits = text.strip_prefix('+').ok_or(NotE164)?;
        let well_formed = (2..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|b| b.is_ascii_digit());
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotE164)
        }
    }

    /// The number, with its plus sign.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[sealed]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_e164_form_is_taken() {
        for good in ["+15555550123", "+12", "+123456789012345"] {
            assert_eq!(E164::parse(good).unwrap().as_str(), good);
        }
        let bad = [
            "",
            "+",
            "+1",
            "15555550123",
            "+05555550123",
            "+1 5555550123",
            "+1234567890123456",
            "+1٢٣٤",
            "+12\n",
        ];
        for bad in bad {
            assert_eq!(E164::parse(bad), Err(NotE164), "{bad:?}");
        }
    }

    #[test]
    fn a_number_does_not_show_itself() {
        let number = E164::parse("+15555550123").unwrap();
        assert_eq!(format!("{number:?}"), "[sealed]");
    }
}
