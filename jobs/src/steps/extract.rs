//! What does a message say? By rules: the text itself, each `#tag` in it, and a shared location.

use store::enrichment_items::ItemType;
use twilio::{InboundWebhook, webhook::Location};

/// The most tags taken from one message; a text has room for hundreds.
const MAX_TAGS: usize = 50;

/// One thing a message says, before it is an item. Its position in the list is part of the item's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extracted {
    pub(crate) item_type: ItemType,
    pub(crate) field_name: Option<&'static str>,
    pub(crate) value: String,
}

/// Everything the message says, in an order that depends on the message alone.
pub(crate) fn extract(webhook: &InboundWebhook) -> Vec<Extracted> {
    let text = webhook.body();
    let note = (!text.trim().is_empty()).then(|| field("customNotes", text.to_owned()));
    let tags = tags(text).into_iter().map(|tag| Extracted {
        item_type: ItemType::Tag,
        field_name: None,
        value: tag.to_owned(),
    });
    let location = webhook
        .location()
        .map(|location| field("location", describe(&location)));
    note.into_iter().chain(tags).chain(location).collect()
}

fn field(name: &'static str, value: String) -> Extracted {
    Extracted {
        item_type: ItemType::Field,
        field_name: Some(name),
        value,
    }
}

/// The `#tags` of a text, without their `#`, each once, as first spelt. A tag starts at the beginning of a word, goes on
/// over letters, digits, `_` and `-`, and is not a number: `#1` counts things.
fn tags(text: &str) -> Vec<&str> {
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

/// `Label, Address (latitude, longitude)`, of which only the coordinates are always there.
fn describe(location: &Location<'_>) -> String {
    let coordinates = format!("{}, {}", location.latitude, location.longitude);
    let names: Vec<&str> = location.label.into_iter().chain(location.address).collect();
    if names.is_empty() {
        coordinates
    } else {
        format!("{} ({coordinates})", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(fields: &[(&str, &str)]) -> InboundWebhook {
        let sid = "SM0123456789abcdef0123456789abcdef";
        let core = [
            ("MessageSid", sid),
            ("AccountSid", "AC0123456789abcdef0123456789abcdef"),
        ];
        let addresses = [("From", "+15551230001"), ("To", "+15559870000")];
        let pairs = core.iter().chain(&addresses).chain(fields);
        let pairs = pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        InboundWebhook::from_fields(pairs).unwrap()
    }

    #[test]
    fn a_text_becomes_a_note_its_tags_and_its_location_in_that_order() {
        let items = extract(&message(&[
            ("Body", "Met Ana at #RustConf, #munich"),
            ("Latitude", "48.137"),
            ("Longitude", "11.575"),
            ("Label", "Hofbräuhaus"),
        ]));
        let shown: Vec<_> = items
            .iter()
            .map(|i| (i.field_name, i.value.as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                (Some("customNotes"), "Met Ana at #RustConf, #munich"),
                (None, "RustConf"),
                (None, "munich"),
                (Some("location"), "Hofbräuhaus (48.137, 11.575)"),
            ]
        );
    }

    #[test]
    fn a_blank_text_is_no_note_and_half_a_location_is_none() {
        assert_eq!(
            extract(&message(&[("Body", " \n"), ("Latitude", "48.137")])),
            []
        );
        let only = extract(&message(&[("Latitude", "-1.5"), ("Longitude", "0")]));
        assert_eq!(only[0].value, "-1.5, 0");
    }

    #[test]
    fn tags_are_words_of_any_script_once_each_and_never_numbers_or_fragments() {
        for (text, expected) in [
            ("#a #A #b", vec!["a", "b"]),
            (
                "(#café) #日本語 #x-y_z- end",
                vec!["café", "日本語", "x-y_z"],
            ),
            ("#1 is #2nd", vec!["2nd"]),
            ("see https://example.com/#top a#b ##c &#x20; # #", vec![]),
        ] {
            assert_eq!(tags(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_bounded_tags_that_stand_in_it(text in "(#|a|ß|-|1| |\\PC){0,400}") {
            let tags = tags(&text);
            prop_assert!(tags.len() <= MAX_TAGS);
            for tag in tags {
                let marked = format!("#{tag}");
                prop_assert!(text.contains(&marked));
            }
        }
    }
}
