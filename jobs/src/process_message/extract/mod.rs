//! Extracts items from a message: by rules, which are the default, or with a model.
//!
//! A message is data. Nothing in it can make an item of another kind than those here, or more or
//! longer items: what the rules read and what a model answers passes the same bounds. The order of
//! the items is part of their ids, and depends only on the message or on the model's answer.

mod answer;
mod clean;
mod content;
mod describe;
mod error;
mod extraction;
mod extractor;
mod fallback;
mod gemini;
mod http;
mod openai;
mod prompt;
mod question;
mod rules;
mod selected;
mod vcard;

pub use self::{
    content::{Attachment, AttachmentBytes, BytesFuture, MessageContent},
    error::{
        BadAnswer, ContentError, ExtractError, ModelAccountProblem, ModelConfigError, ModelRefusal,
        ModelUnavailable,
    },
    extraction::{Extracted, ExtractedBy, Extraction, MAX_ITEMS},
    extractor::Extractor,
    fallback::{Fallback, WithFallback},
    gemini::{Gemini, GeminiConfig},
    openai::{OpenAi, OpenAiConfig},
    rules::Rules,
    selected::SelectedExtractor,
};
