//! Extraction by rules, without a model: the text, each `#tag` in it, a shared location, the
//! contacts of cards, and a description of all other files.
//!
//! The text and the descriptions of files are one note, the text first, so that a caption stays
//! with its files. If all files are cards, the text is the context of their contacts.

use twilio::webhook::Location;

use super::{
    Attachment, ContentError, ExtractError, Extracted, ExtractedBy, Extraction, Extractor,
    MessageContent, clean,
    describe::describe,
    vcard::{self, Card},
};

/// How many tags a message may have at most.
const MAX_TAGS: usize = 50;

/// How many characters of a context may come from a card.
const MAX_CONTEXT: usize = 2000;

/// `EXTRACTOR=rules`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules;

impl Extractor for Rules {
    async fn extract<'a>(
        &'a self,
        message: &'a MessageContent<'a>,
    ) -> Result<Extraction, ExtractError> {
        let mut cards = Vec::new();
        let mut others = Vec::new();
        for attachment in message.media {
            match cards_in(attachment).await? {
                found if found.is_empty() => others.push(attachment),
                found => cards.extend(found),
            }
        }
        let caption = message.text.trim();
        let note = if others.is_empty() && !cards.is_empty() {
            None
        } else {
            note(message.text, &others)
        };
        let items = note
            .into_iter()
            .chain(
                tags(message.text)
                    .into_iter()
                    .map(|tag| Extracted::tag(tag.to_owned())),
            )
            .chain(message.location.as_ref().map(location))
            .chain(contacts(&cards, caption))
            .collect();
        Ok(Extraction::new(items, ExtractedBy::Rules))
    }
}

/// The text as it was sent, unless it is blank, and a line for each file.
pub(super) fn note(text: &str, files: &[&Attachment]) -> Option<Extracted> {
    let files: Vec<String> = files.iter().map(|file| describe(file)).collect();
    let value = match (text.trim().is_empty(), files.is_empty()) {
        (true, true) => return None,
        (true, false) => files.join("\n"),
        (false, true) => text.to_owned(),
        (false, false) => format!("{}\n{}", text.trim_end(), files.join("\n")),
    };
    Some(Extracted::note(value))
}

/// The cards of an attachment, if it is a readable file of cards.
pub(super) async fn cards_in(attachment: &Attachment) -> Result<Vec<Card>, ExtractError> {
    let is_cards = matches!(
        attachment.essence().as_str(),
        "text/vcard" | "text/x-vcard" | "text/directory" | "application/vcard"
    );
    if !is_cards || attachment.bytes > vcard::MAX_FILE {
        return Ok(Vec::new());
    }
    match attachment.content.read(vcard::MAX_FILE).await {
        Ok(bytes) => Ok(vcard::read(&bytes)),
        Err(ContentError::Gone | ContentError::TooLarge) => Ok(Vec::new()),
        Err(ContentError::Unavailable(error)) => Err(ExtractError::Content(error)),
    }
}

/// The contact of each card, and its fields. An item does not name the contact that its field
/// belongs to. So the fields of several cards go into the contexts of their contacts.
pub(super) fn contacts(cards: &[Card], caption: &str) -> Vec<Extracted> {
    match cards {
        [] => Vec::new(),
        [card] => std::iter::once(Extracted::contact(&card.name, caption))
            .chain(
                card.fields
                    .iter()
                    .map(|(name, value)| Extracted::field(name, value.clone())),
            )
            .collect(),
        cards => cards
            .iter()
            .take(vcard::MAX_CARDS)
            .map(|card| {
                let said = card
                    .fields
                    .iter()
                    .map(|(name, value)| format!("{}: {value}", word_for(name)));
                let said = clean::text(&said.collect::<Vec<_>>().join("\n"), MAX_CONTEXT);
                Extracted::contact(&card.name, format!("{caption}\n{said}").trim())
            })
            .collect(),
    }
}

fn word_for(field: &'static str) -> &'static str {
    match field {
        "phone" => "Phone",
        "email" => "E-mail",
        "location" => "Address",
        "organization" => "Organization",
        "title" => "Title",
        "website" => "Website",
        "birthday" => "Birthday",
        "customNotes" => "Note",
        other => other,
    }
}

pub(super) fn location(location: &Location<'_>) -> Extracted {
    Extracted::field("location", describe_place(location))
}

/// The `#tags` of a text, without `#` and without duplicates, in their first spelling. A tag starts
/// at the beginning of a word, consists of letters, digits, `_` and `-`, and has at least one
/// letter: `#1` is a number.
pub(super) fn tags(text: &str) -> Vec<&str> {
    let mut tags: Vec<&str> = Vec::new();
    for (at, _) in text.match_indices('#') {
        let starts_a_word = text[..at].chars().next_back().is_none_or(|before| {
            !before.is_alphanumeric() && !matches!(before, '#' | '&' | '/' | '_')
        });
        if !starts_a_word {
            continue; // such as the fragment of a URL or an HTML entity
        }
        let rest = &text[at + 1..];
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-')))
            .unwrap_or(rest.len());
        let tag = rest[..end].trim_end_matches('-');
        let known = tags
            .iter()
            .any(|known| known.to_lowercase() == tag.to_lowercase());
        if tag.chars().any(char::is_alphabetic) && !known && tags.len() < MAX_TAGS {
            tags.push(tag);
        }
    }
    tags
}

/// `Label, Address (latitude, longitude)`. Label and address may be missing.
fn describe_place(location: &Location<'_>) -> String {
    let coordinates = format!("{}, {}", location.latitude, location.longitude);
    let names: Vec<&str> = location.label.into_iter().chain(location.address).collect();
    if names.is_empty() {
        coordinates
    } else {
        format!("{} ({coordinates})", names.join(", "))
    }
}

#[cfg(test)]
mod tests;
