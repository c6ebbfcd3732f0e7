//! What people type, as a phone number to which an SMS may go, or the reason why it is none.
//!
//! The library is given nothing but digits and perhaps a plus sign: it is forgiving, and would take the number out of
//! `whatsapp:+1…`, or leave out an extension.

use std::fmt;

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumber, PhoneNumberFormat, PhoneNumberType, Region};
use store::E164;

/// A number is 17 characters at most in E.164; people group it, and write brackets.
const LONGEST_INPUT: usize = 64;

/// A country that has phone numbers of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Country(Region);

impl Country {
    /// Reads an ISO 3166 code of two letters.
    pub fn parse(code: &str) -> Option<Self> {
        let letters = code.len() == 2 && code.bytes().all(|b| b.is_ascii_alphabetic());
        let region = Region::from_code(&code.to_ascii_uppercase()).ok()?;
        let known = PHONE_NUMBER_UTIL
            .get_supported_regions()
            .any(|r| r == region);
        (letters && known).then_some(Self(region))
    }

    /// The code, in upper case.
    pub fn code(self) -> String {
        self.0.as_region_str().as_str().to_owned()
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code())
    }
}

/// A number that exists as far as its country's numbering plan goes, and may be sent an SMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) e164: E164,
    pub(super) country: Country,
}

/// Why a text is no such number. The sentences are for the person who typed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotANumber {
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

impl Number {
    /// Reads it. Without a plus sign it is taken for a number of the US, as the app has always done.
    pub(super) fn parse(text: &str) -> Result<Self, NotANumber> {
        let dialled = dialled(text)?;
        if (3..=6).contains(&dialled.len()) && !dialled.starts_with('+') {
            return Err(NotANumber::ShortCode);
        }
        let number =
            PhoneNumber::parse(&dialled, Some(Region::US)).map_err(|_| NotANumber::Invalid)?;
        if !number.is_valid() {
            return Err(NotANumber::Invalid);
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
            | PhoneNumberType::Unknown => return Err(NotANumber::Kind),
        }
        let region = number.get_region_code().ok_or(NotANumber::Invalid)?;
        let e164 = E164::parse(&number.format_as(PhoneNumberFormat::E164));
        Ok(Self {
            e164: e164.map_err(|_| NotANumber::Invalid)?,
            country: Country(region),
        })
    }
}

/// What would be dialled: ASCII digits, after a plus sign if there was one.
fn dialled(text: &str) -> Result<String, NotANumber> {
    let text = text.trim();
    if text.len() > LONGEST_INPUT {
        return Err(NotANumber::Invalid);
    }
    if has_extension(text) {
        return Err(NotANumber::Extension);
    }
    let mut dialled = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '+' | '\u{ff0b}' if dialled.is_empty() => dialled.push('+'),
            '+' | '\u{ff0b}' => return Err(NotANumber::Plus),
            c if is_separator(c) => {}
            c => dialled.push(digit(c)?),
        }
    }
    Ok(dialled)
}

/// `ext. 5`, `x5`, `#5`, `;ext=5` and a pause, `,,5`, after some digits.
fn has_extension(text: &str) -> bool {
    let Some(first_digit) = text.find(|c: char| c.is_ascii_digit()) else {
        return false;
    };
    let (before, number) = text.split_at(first_digit);
    if before.contains(char::is_alphabetic) {
        return false; // a channel, or a name
    }
    let word = number.trim_start_matches(|c: char| !c.is_alphabetic() && !"#;,".contains(c));
    let lower = word.to_lowercase();
    let marked = ["#", ";", ",", "x", "\u{445}", "ext", "доб", "int", "anexo"];
    let digits_follow = word.contains(|c: char| c.is_ascii_digit());
    digits_follow && marked.iter().any(|mark| lower.starts_with(mark))
}

/// What people put between digits, and the marks of direction that copying a number off a screen brings along.
fn is_separator(c: char) -> bool {
    matches!(
        c,
        ' ' | '-' | '.' | '/' | '(' | ')'
        | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{3000}' // blanks
        | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ff0d}' // dashes
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' // marks
    )
}

/// Digits as they stand on keyboards: ASCII, full width, Arabic, Persian.
fn digit(c: char) -> Result<char, NotANumber> {
    let zero = match c {
        '0'..='9' => return Ok(c),
        '\u{ff10}'..='\u{ff19}' => 0xff10,
        '\u{660}'..='\u{669}' => 0x660,
        '\u{6f0}'..='\u{6f9}' => 0x6f0,
        c if c.is_alphabetic() => return Err(NotANumber::Letters),
        _ => return Err(NotANumber::Character),
    };
    char::from_digit(u32::from(c) - zero, 10).ok_or(NotANumber::Character)
}

#[cfg(test)]
mod tests;
