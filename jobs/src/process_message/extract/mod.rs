//! What does a message say? One trait, and who can answer it: the rules, which are the default, or a model.
//!
//! What was sent is data. Nothing in it can make an item of another kind than those here, or more of them, or longer
//! ones: what the rules read and what a model answers passes the same bounds. The order of the items is part of their
//! ids, and depends on the message, or on the model's answer, alone.

mod answer;
mod clean;
mod describe;
mod error;
mod fallback;
mod gemini;
mod http;
mod openai;
mod prompt;
mod question;
mod rules;
mod vcard;

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use store::enrichment_items::ItemType;
use twilio::webhook::Location;

pub use error::{
    AccountProblem, BadAnswer, ContentError, ExtractError, ModelConfigError, Refusal, Unavailable,
};
pub use fallback::{Fallback, WithFallback};
pub use gemini::{Gemini, GeminiConfig};
pub use openai::{OpenAi, OpenAiConfig};
pub use rules::Rules;

/// The most items that one message makes. More is no message, but an attack on whoever has to review them.
pub const MAX_ITEMS: usize = 200;

/// Finds what a message says.
pub trait Extractor: Send + Sync {
    /// Everything the message says, in an order that depends on the message or the model's answer alone.
    fn extract<'a>(
        &'a self,
        message: &'a Message<'a>,
    ) -> impl Future<Output = Result<Extraction, ExtractError>> + Send + 'a;
}

/// A message as extractors see it: not who sent it, nor when, nor to whom. `Debug` hides what it says.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    /// The text, as it was sent; empty if there is none.
    pub text: &'a str,
    /// The place that was shared.
    pub location: Option<Location<'a>>,
    /// The files that came with it and are stored, in the order of the message.
    pub media: &'a [Attachment],
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message([sealed], {:?})", self.media)
    }
}

/// A file that came with a message, and what is known of it. Its bytes are read only by who needs them.
#[derive(Clone)]
pub struct Attachment {
    /// The N of `MediaUrlN`.
    pub position: u8,
    /// The type that its bytes have, whatever was declared.
    pub content_type: String,
    /// Its size.
    pub bytes: u64,
    /// Width and height in pixels, of an image or a video.
    pub dimensions: Option<(u32, u32)>,
    /// How long it plays, if that is known.
    pub duration: Option<Duration>,
    /// The way to its bytes.
    pub content: Arc<dyn Content>,
}

impl Attachment {
    /// The type without its parameters, in lower case: `audio/ogg`, not `Audio/Ogg; codecs=opus`.
    pub(crate) fn essence(&self) -> String {
        let essence = self.content_type.split(';').next().unwrap_or_default();
        essence.trim().to_ascii_lowercase()
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Attachment({}, {} bytes, [sealed])",
            self.position, self.bytes
        )
    }
}

/// What [`Content::read`] returns.
pub type ContentFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<u8>, ContentError>> + Send + 'a>>;

/// The way to an attachment's bytes.
pub trait Content: Send + Sync {
    /// All of them; or [`ContentError::TooLarge`], as soon as it is clear that they are more than `limit`.
    fn read(&self, limit: u64) -> ContentFuture<'_>;
}

/// Bytes that are there already.
impl Content for Vec<u8> {
    fn read(&self, limit: u64) -> ContentFuture<'_> {
        let fits = u64::try_from(self.len()).is_ok_and(|length| length <= limit);
        let read = if fits {
            Ok(self.clone())
        } else {
            Err(ContentError::TooLarge)
        };
        Box::pin(std::future::ready(read))
    }
}

/// One thing a message says, before it is an item. Its position in the list is part of the item's id. `Debug` hides
/// its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Extracted {
    /// Where it belongs.
    pub item_type: ItemType,
    /// The field's name, 50 characters at most; none for a tag or a contact.
    pub field_name: Option<&'static str>,
    /// What it says: text, or JSON text for a contact.
    pub value: String,
}

impl Extracted {
    fn field(name: &'static str, value: String) -> Self {
        Self {
            item_type: ItemType::Field,
            field_name: Some(name),
            value,
        }
    }

    fn note(value: String) -> Self {
        Self::field("customNotes", value)
    }

    fn tag(value: String) -> Self {
        Self {
            item_type: ItemType::Tag,
            field_name: None,
            value,
        }
    }

    /// The app reads a contact from JSON with these two keys.
    fn contact(name: &str, context: &str) -> Self {
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

/// What was found, and who found it.
#[derive(Debug)]
pub struct Extraction {
    /// What the message says, [`MAX_ITEMS`] things at most.
    pub items: Vec<Extracted>,
    /// Who says so.
    pub by: ExtractedBy,
    /// Why it was not who should have, if it was the rules instead of a model.
    pub instead_because_of: Option<ExtractError>,
}

impl Extraction {
    fn new(mut items: Vec<Extracted>, by: ExtractedBy) -> Self {
        items.truncate(MAX_ITEMS);
        Self {
            items,
            by,
            instead_because_of: None,
        }
    }
}

/// Who found what a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExtractedBy {
    /// The rules, as they should, or as there was nothing to ask a model about.
    Rules,
    /// Gemini.
    Gemini,
    /// A model behind an endpoint such as `OpenAI`'s.
    OpenAi,
    /// The rules, as the model stayed away or gave no answer of use.
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

/// The extractor that the configuration names.
#[derive(Debug, Clone)]
pub enum AnyExtractor {
    /// `EXTRACTOR=rules`
    Rules(Rules),
    /// `EXTRACTOR=gemini`
    Gemini(Gemini),
    /// `EXTRACTOR=openai`
    OpenAi(OpenAi),
}

impl Extractor for AnyExtractor {
    async fn extract<'a>(&'a self, message: &'a Message<'a>) -> Result<Extraction, ExtractError> {
        match self {
            Self::Rules(rules) => rules.extract(message).await,
            Self::Gemini(gemini) => gemini.extract(message).await,
            Self::OpenAi(openai) => openai.extract(message).await,
        }
    }
}
