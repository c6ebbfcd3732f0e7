//! Parses what a user typed into a phone number that can get an SMS, or tells why it is not one.
//!
//! The library gets only digits and perhaps a plus sign. It is lenient: it would accept the number
//! in `whatsapp:+1…`, or drop an extension.

use rlibphonenumber::{PhoneNumber, PhoneNumberFormat, PhoneNumberType, Region};
use store::E164;

use crate::country::Country;

/// The longest input, in bytes. A number has at most 16 characters in E.164; people add blanks and
/// brackets.
const MAX_INPUT: usize = 64;

/// A number that is valid in its country's numbering plan and can get an SMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SmsNumber {
    pub(super) e164: E164,
    pub(super) country: Country,
}

/// Why a text is not such a number. The sentences are for the user who typed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NumberError {
    #[error(
        "Enter the number alone, without letters, the name of a channel or an address (e.g., +15555551234)"
    )]
    Letters,
    #[error("Enter the number without an extension: a text message cannot be sent to one")]
    Extension,
    #[error("This is a short code. Enter a full phone number (e.g., +15555551234)")]
    ShortCode,
    #[error("Enter one phone number only, with at most one plus sign, at its beginning")]
    Plus,
    #[error("Enter digits only, with a plus sign before the country code (e.g., +15555551234)")]
    Character,
    #[error("Invalid phone number format. Use E.164 format (e.g., +15555551234)")]
    Invalid,
    #[error("This kind of number cannot receive verification codes. Enter a mobile phone's number")]
    Kind,
}

impl SmsNumber {
    /// Parses the text. A number without a plus sign is a number of the US, as in the app.
    pub(super) fn parse(text: &str) -> Result<Self, NumberError> {
        let dialled = dialled(text)?;
        if (3..=6).contains(&dialled.len()) && !dialled.starts_with('+') {
            return Err(NumberError::ShortCode);
        }
        let number =
            PhoneNumber::parse(&dialled, Some(Region::US)).map_err(|_| NumberError::Invalid)?;
        if !number.is_valid() {
            return Err(NumberError::Invalid);
        }
        match number.get_type() {
            PhoneNumberType::FixedLine
            | PhoneNumberType::Mobile
            | PhoneNumberType::FixedLineOrMobile
            | PhoneNumberType::VoIP => {}
            PhoneNumberType::TollFree
            | PhoneNumberType::PremiumRate
            | PhoneNumberType::SharedCost
            | PhoneNumberType::PersonalNumber
            | PhoneNumberType::Pager
            | PhoneNumberType::UAN
            | PhoneNumberType::VoiceMail
            | PhoneNumberType::Unknown => return Err(NumberError::Kind),
        }
        let region = number.get_region_code().ok_or(NumberError::Invalid)?;
        let e164 = E164::parse(&number.format_as(PhoneNumberFormat::E164));
        Ok(Self {
            e164: e164.map_err(|_| NumberError::Invalid)?,
            country: region.into(),
        })
    }
}

/// What a phone would dial: ASCII digits, after a plus sign if there is one.
fn dialled(text: &str) -> Result<String, NumberError> {
    let text = text.trim();
    if text.len() > MAX_INPUT {
        return Err(NumberError::Invalid);
    }
    if has_extension(text) {
        return Err(NumberError::Extension);
    }
    let mut dialled = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '+' | '\u{ff0b}' if dialled.is_empty() => dialled.push('+'),
            '+' | '\u{ff0b}' => return Err(NumberError::Plus),
            c if is_separator(c) => {}
            c => dialled.push(digit(c)?),
        }
    }
    Ok(dialled)
}

/// Recognizes `ext. 5`, `x5`, `#5`, `;ext=5` and the pause `,,5` after some digits.
fn has_extension(text: &str) -> bool {
    let Some(first_digit) = text.find(|c: char| c.is_ascii_digit()) else {
        return false;
    };
    let (before, number) = text.split_at(first_digit);
    if before.contains(char::is_alphabetic) {
        return false; // the name of a channel or a person
    }
    let word = number.trim_start_matches(|c: char| !c.is_alphabetic() && !"#;,".contains(c));
    let lower = word.to_lowercase();
    let marked = ["#", ";", ",", "x", "\u{445}", "ext", "доб", "int", "anexo"];
    let digits_follow = word.contains(|c: char| c.is_ascii_digit());
    digits_follow && marked.iter().any(|mark| lower.starts_with(mark))
}

/// What people put between digits, and the direction marks that come with a number copied from a
/// screen.
fn is_separator(c: char) -> bool {
    matches!(
        c,
        ' ' | '-' | '.' | '/' | '(' | ')'
        | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{3000}' // blanks
        | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ff0d}' // dashes
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' // marks
    )
}

/// The digits of keyboards: ASCII, full width, Arabic, Persian.
fn digit(c: char) -> Result<char, NumberError> {
    let zero = match c {
        '0'..='9' => return Ok(c),
        '\u{ff10}'..='\u{ff19}' => 0xff10,
        '\u{660}'..='\u{669}' => 0x660,
        '\u{6f0}'..='\u{6f9}' => 0x6f0,
        c if c.is_alphabetic() => return Err(NumberError::Letters),
        _ => return Err(NumberError::Character),
    };
    char::from_digit(u32::from(c) - zero, 10).ok_or(NumberError::Character)
}

#[cfg(test)]
mod tests;
