//! What an extractor returns.

use std::fmt;

use store::enrichment_items::ItemType;

use super::ExtractError;

/// The most items of one message. A user has to review each.
pub const MAX_ITEMS: usize = 200;

/// One thing that a message says, before it becomes an item. Its position in the list is part of
/// the item's id. `Debug` hides its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Extracted {
    /// The type of the item.
    pub item_type: ItemType,
    /// The field's name, at most 50 characters. `None` for a tag or a contact.
    pub field_name: Option<&'static str>,
    /// The value: text, or JSON text for a contact.
    pub value: String,
}

impl Extracted {
    pub(super) fn field(name: &'static str, value: String) -> Self {
        Self {
            item_type: ItemType::Field,
            field_name: Some(name),
            value,
        }
    }

    pub(super) fn note(value: String) -> Self {
        Self::field("customNotes", value)
    }

    pub(super) fn tag(value: String) -> Self {
        Self {
            item_type: ItemType::Tag,
            field_name: None,
            value,
        }
    }

    /// The app reads a contact from JSON with these two keys.
    pub(super) fn contact(name: &str, context: &str) -> Self {
        let [name, context] = [name, context].map(serde_json::Value::from);
        Self {
            item_type: ItemType::Field,
            field_name: None,
            value: format!(r#"{{"name":{name},"context":{context}}}"#),
        }
    }
}

impl fmt::Debug for Extracted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.field_name.unwrap_or("-");
        write!(f, "Extracted({:?}, {name}, [sealed])", self.item_type)
    }
}

/// The items of a message, and what extracted them.
#[derive(Debug)]
pub struct Extraction {
    /// The items, at most [`MAX_ITEMS`].
    pub items: Vec<Extracted>,
    /// What extracted them.
    pub by: ExtractedBy,
    /// The model's error, if the rules were used instead of the model.
    pub instead_because_of: Option<ExtractError>,
}

impl Extraction {
    pub(super) fn new(mut items: Vec<Extracted>, by: ExtractedBy) -> Self {
        items.truncate(MAX_ITEMS);
        Self {
            items,
            by,
            instead_because_of: None,
        }
    }
}

/// What extracted the items of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExtractedBy {
    /// The rules, because they are configured, or because there was nothing to ask a model about.
    Rules,
    /// Gemini.
    Gemini,
    /// A model behind an endpoint with `OpenAI`'s protocol.
    OpenAi,
    /// The rules, because the model was unavailable or gave no usable answer.
    RulesFallback,
}

impl ExtractedBy {
    /// The name in rows and metrics. Never changes.
    pub fn label(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Gemini => "gemini",
            Self::OpenAi => "openai",
            Self::RulesFallback => "rules-fallback",
        }
    }
}
