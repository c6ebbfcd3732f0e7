//! A model's answer, and its limits. Only four kinds of items can come of it, and their number and
//! lengths are bounded, whatever the message made the model say.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{BadAnswer, Extracted, clean};

/// How many contacts, and how many locations, an answer may have at most.
const MAX_NAMED: usize = 25;

/// How many tags there may be at most, those of the rules included.
const MAX_TAGS: usize = 50;

/// The longest name of a contact or location, in characters.
const MAX_NAME: usize = 200;

/// The longest tag, in characters.
const MAX_TAG: usize = 60;

/// The longest context, in characters.
const MAX_CONTEXT: usize = 1000;

/// The longest note, in characters.
const MAX_NOTES: usize = 4000;

/// An answer that follows the requested schema. Its strings are not cleaned yet.
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
    /// Parses the text that a model generated.
    pub(super) fn read(text: &str) -> Result<Self, BadAnswer> {
        if text.trim().is_empty() {
            return Err(BadAnswer::Empty);
        }
        serde_json::from_str(text).map_err(|_| BadAnswer::Schema)
    }

    /// The items: contacts, tags, locations, notes. The sender's own `#tags` come first among the
    /// tags, whether the model returned them or not.
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

/// Cleaned also before the markup is removed, as invisible characters could hide markup.
fn line(given: &str, max: usize) -> String {
    clean::line(&clean::without_markup(&clean::line(given, usize::MAX)), max)
}

fn text(given: &str, max: usize) -> String {
    clean::text(&clean::without_markup(&clean::text(given, usize::MAX)), max)
}

/// Without duplicates, which may differ in case. The first spelling stays.
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

/// The JSON schema of an answer. It uses only what all services support that enforce a schema:
/// every key is required, and no others are allowed. It has no bounds; we check those ourselves.
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

/// The same schema as Gemini's `responseSchema`, which is a subset of `OpenAPI`.
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
