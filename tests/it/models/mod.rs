//! Extraction by models, over HTTP, with fakes that speak the services' protocols, including their
//! errors.

mod errors;
pub(crate) mod fake;
mod fallback;
mod files;
mod gemini;
mod hostile;
mod openai;
mod refusals;

use std::sync::Arc;

use jobs::extract::{Attachment, Extraction, MessageContent};

/// A stored file of this type.
fn file(position: u8, content_type: &str, bytes: &[u8]) -> Attachment {
    Attachment {
        position,
        content_type: content_type.to_owned(),
        bytes: u64::try_from(bytes.len()).unwrap(),
        dimensions: None,
        duration: None,
        content: Arc::new(bytes.to_vec()),
    }
}

fn message<'a>(text: &'a str, media: &'a [Attachment]) -> MessageContent<'a> {
    MessageContent {
        text,
        location: None,
        media,
    }
}

fn shown(extraction: &Extraction) -> Vec<(Option<&str>, &str)> {
    let items = extraction.items.iter();
    items
        .map(|item| (item.field_name, item.value.as_str()))
        .collect()
}
