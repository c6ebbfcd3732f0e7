//! What a model may answer: four kinds of things, so many of them and so long. Whatever a message made it say, nothing
//! else becomes an item.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{BadAnswer, Extracted, clean};

/// The most contacts, and the most locations.
const MAX_NAMED: usize = 25;

/// The most tags, those that the rules find included.
const MAX_TAGS: usize = 50;

/// The longest name of a contact or location, in characters.
const MAX_NAME: usize = 200;

/// The longest tag, in characters.
const MAX_TAG: usize = 60;

/// The longest context, in characters.
const MAX_CONTEXT: usize = 1000;

/// The longest note, in characters.
const MAX_NOTES: usize = 4000;

/// An answer of the form that was asked for. Its strings are still as the model wrote them.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelAnswer {
    contacts: Vec<ModelContact>,
    tags: Vec<String>,
    locations: Vec<String>,
    notes: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelContact {
    name: String,
    context: String,
}

impl ModelAnswer {
    /// Reads it from the text that a model generated.
    pub(super) fn read(text: &str) -> Result<Self, BadAnswer> {
        if text.trim().is_empty() {
            return Err(BadAnswer::Empty);
        }
        serde_json::from_str(text).map_err(|_| BadAnswer::Schema)
    }

    /// The items: contacts, tags, locations, notes. What the sender has marked as a tag is one, whatever the model
    /// makes of it.
    pub(super) fn into_items(self, marked: &[&str]) -> Vec<Extracted> {
        let contacts = distinct(self.contacts, |contact| {
            let name = line(&contact.name, MAX_NAME);
            let context = text(&contact.context, MAX_CONTEXT);
            (!name.is_empty()).then(|| Extracted::contact(&name, &context))
        });
        let marked = marked.iter().map(|tag| (*tag).to_owned());
        let tags = distinct(marked.chain(self.tags), |tag| {
            let tag = line(&tag, MAX_TAG);
            let tag = tag.trim_start_matches(['#', ' ']).to_owned();
            (!tag.is_empty()).then(|| Extracted::tag(tag))
        });
        let locations = distinct(self.locations, |location| {
            let location = line(&location, MAX_NAME);
            (!location.is_empty()).then(|| Extracted::field("location", location))
        });
        let notes = text(&self.notes, MAX_NOTES);
        contacts
            .into_iter()
            .take(MAX_NAMED)
            .chain(tags.into_iter().take(MAX_TAGS))
            .chain(locations.into_iter().take(MAX_NAMED))
            .chain((!notes.is_empty()).then(|| Extracted::note(notes)))
            .collect()
    }
}

/// Cleaned before the markup is taken out, too: what is not seen could hide that there is any.
fn line(given: &str, max: usize) -> String {
    clean::line(&clean::without_markup(&clean::line(given, usize::MAX)), max)
}

fn text(given: &str, max: usize) -> String {
    clean::text(&clean::without_markup(&clean::text(given, usize::MAX)), max)
}

/// Each but once, whatever its case, as first said.
fn distinct<T>(
    given: impl IntoIterator<Item = T>,
    read: impl Fn(T) -> Option<Extracted>,
) -> Vec<Extracted> {
    let mut known = std::collections::HashSet::new();
    let items = given.into_iter().filter_map(read);
    items
        .filter(|item| known.insert(item.value.to_lowercase()))
        .collect()
}

/// The form, as a JSON schema within what services that enforce one have in common: every key required, no others, no
/// bounds. Those are ours to hold.
pub(super) fn json_schema() -> Value {
    let strings = json!({ "type": "array", "items": { "type": "string" } });
    json!({
        "type": "object",
        "properties": {
            "contacts": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": { "name": { "type": "string" }, "context": { "type": "string" } },
                    "required": ["name", "context"],
                    "additionalProperties": false,
                },
            },
            "tags": strings,
            "locations": strings,
            "notes": { "type": "string" },
        },
        "required": ["contacts", "tags", "locations", "notes"],
        "additionalProperties": false,
    })
}

/// The same as Gemini's `responseSchema`, a part of `OpenAPI`'s.
pub(super) fn gemini_schema() -> Value {
    let strings = json!({ "type": "ARRAY", "items": { "type": "STRING" } });
    json!({
        "type": "OBJECT",
        "properties": {
            "contacts": {
                "type": "ARRAY",
                "items": {
                    "type": "OBJECT",
                    "properties": { "name": { "type": "STRING" }, "context": { "type": "STRING" } },
                    "required": ["name", "context"],
                },
            },
            "tags": strings,
            "locations": strings,
            "notes": { "type": "STRING" },
        },
        "required": ["contacts", "tags", "locations", "notes"],
        "propertyOrdering": ["contacts", "tags", "locations", "notes"],
    })
}

#[cfg(test)]
mod tests;
