//! Contact cards: vCard 2.1, 3.0 and 4.0, one or several in a file, also malformed ones that some
//! phones send.
//!
//! A card comes from an unknown sender. So the parser gets only the lines from `BEGIN:VCARD` to
//! `END:VCARD`, one card at a time and a bounded number of cards, and its results are cleaned and
//! shortened.

mod file;

use calcard::{
    common::PartialDateTime,
    vcard::{VCard, VCardEntry, VCardProperty, VCardValue},
};

use super::clean;
use file::cards_of;

/// The largest file that is read as cards, in bytes. A card may contain a photo.
pub(super) const MAX_FILE: u64 = 2 * 1024 * 1024;

/// How many cards of a file, and of a message, are read at most.
pub(super) const MAX_CARDS: usize = 50;

/// How many fields of a card are read at most.
const MAX_FIELDS: usize = 30;

/// The longest name, and the longest value of a field other than a note, in characters.
const MAX_LINE: usize = 300;

/// The longest note, in characters.
const MAX_NOTE: usize = 2000;

/// The year that Apple writes for birthdays without a year.
const NO_YEAR: u16 = 1604;

/// A contact: its name and its fields.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Card {
    pub(super) name: String,
    /// Each field's name and value, in the order of the card.
    pub(super) fields: Vec<(&'static str, String)>,
}

impl std::fmt::Debug for Card {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Card({} fields, [sealed])", self.fields.len())
    }
}

/// The cards of a file that name a contact, in their order. Empty if the file is not a vCard.
pub(super) fn read(bytes: &[u8]) -> Vec<Card> {
    let text = file::text_of(bytes);
    cards_of(&text)
        .take(MAX_CARDS)
        .filter_map(|lines| card(&VCard::parse(lines).ok()?))
        .collect()
}

fn card(vcard: &VCard) -> Option<Card> {
    let mut fields: Vec<(&'static str, String)> = Vec::new();
    for (name, value) in vcard.entries.iter().filter_map(field) {
        let new = !value.is_empty() && !fields.iter().any(|known| known.1 == value);
        if new && fields.len() < MAX_FIELDS {
            fields.push((name, value));
        }
    }
    let first = |property: &VCardProperty, of: fn(&VCardEntry) -> String| {
        let named = vcard.entries.iter().filter(|entry| entry.name == *property);
        named.map(of).find(|value| !value.is_empty())
    };
    let name = first(&VCardProperty::Fn, joined)
        .or_else(|| first(&VCardProperty::N, structured_name))
        .or_else(|| first(&VCardProperty::Nickname, joined))
        .or_else(|| first(&VCardProperty::Org, organization))
        .or_else(|| {
            // A contact without a name can still be reached.
            let reachable = fields
                .iter()
                .find(|(name, _)| matches!(*name, "phone" | "email"));
            reachable.map(|(_, value)| value.clone())
        })?;
    Some(Card { name, fields })
}

/// The app's own fields have the app's names: `phone`, `email`, `location`, `customNotes`.
fn field(entry: &VCardEntry) -> Option<(&'static str, String)> {
    Some(match &entry.name {
        VCardProperty::Tel => ("phone", without_scheme(&joined(entry), "tel:")),
        VCardProperty::Email => ("email", without_scheme(&joined(entry), "mailto:")),
        VCardProperty::Adr => ("location", address(entry)),
        VCardProperty::Org => ("organization", organization(entry)),
        VCardProperty::Title => ("title", joined(entry)),
        VCardProperty::Url => ("website", joined(entry)),
        VCardProperty::Bday => ("birthday", birthday(entry)),
        VCardProperty::Note => {
            let texts: Vec<String> = entry.values.iter().flat_map(texts).collect();
            ("customNotes", clean::text(&texts.join("\n"), MAX_NOTE))
        }
        _ => return None,
    })
}

/// The texts of a value. Bytes without a content type are text in an old encoding; bytes with one
/// are pictures.
fn texts(value: &VCardValue) -> Vec<String> {
    match value {
        VCardValue::Text(text) => vec![text.clone()],
        VCardValue::Component(texts) => texts.clone(),
        VCardValue::Binary(data) if data.content_type.is_none() => {
            vec![file::text_of(&data.data)]
        }
        VCardValue::Integer(number) => vec![number.to_string()],
        _ => Vec::new(),
    }
}

fn line_of(texts: impl Iterator<Item = String>, separator: &str) -> String {
    let lines: Vec<String> = texts
        .map(|text| clean::line(&text, MAX_LINE))
        .filter(|line| !line.is_empty())
        .collect();
    clean::line(&lines.join(separator), MAX_LINE)
}

fn joined(entry: &VCardEntry) -> String {
    line_of(entry.values.iter().flat_map(texts), " ")
}

/// `N` is family; given; additional; prefix; suffix.
fn structured_name(entry: &VCardEntry) -> String {
    let part = |at: usize| entry.values.get(at).map(texts).unwrap_or_default();
    line_of([3, 1, 2, 0, 4].into_iter().flat_map(part), " ")
}

/// `ORG` is the organization, followed by its units.
fn organization(entry: &VCardEntry) -> String {
    line_of(entry.values.iter().flat_map(texts), ", ")
}

/// `ADR` is post box; extension; street; town; region; code; country.
fn address(entry: &VCardEntry) -> String {
    line_of(entry.values.iter().flat_map(texts), ", ")
}

fn birthday(entry: &VCardEntry) -> String {
    match entry.values.first() {
        Some(VCardValue::PartialDateTime(date)) => day_of(date),
        Some(value) => line_of(texts(value).into_iter(), " "),
        None => String::new(),
    }
}

/// `1990-05-12`, or `--05-12` without a year, as in vCard.
fn day_of(date: &PartialDateTime) -> String {
    let year = date.year.filter(|year| *year != NO_YEAR);
    match (year, date.month, date.day) {
        (Some(year), Some(month), Some(day)) => format!("{year:04}-{month:02}-{day:02}"),
        (Some(year), Some(month), None) => format!("{year:04}-{month:02}"),
        (Some(year), None, _) => format!("{year:04}"),
        (None, Some(month), Some(day)) => format!("--{month:02}-{day:02}"),
        (None, _, _) => String::new(),
    }
}

fn without_scheme(value: &str, scheme: &str) -> String {
    let Some(start) = value.get(..scheme.len()) else {
        return value.to_owned();
    };
    if !start.eq_ignore_ascii_case(scheme) {
        return value.to_owned();
    }
    let rest = &value[scheme.len()..];
    // `tel:+1-202-555-0123;ext=5`, `mailto:ana@example.com?subject=…`
    let end = rest.find([';', '?']).unwrap_or(rest.len());
    rest[..end].to_owned()
}

#[cfg(test)]
mod tests;
