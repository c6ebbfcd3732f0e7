//! What a model is asked about a message. The rules add the items of contact cards, which they read
//! better, and of files that the model does not accept.

use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    Attachment, ContentError, ExtractError, ExtractedBy, Extraction, MessageContent,
    answer::ModelAnswer, rules, vcard::Card,
};

/// How many bytes of files the questions of a process hold at once. Each byte takes up to three
/// bytes of memory when its base64 is written into the request.
const AT_ONCE: u32 = 32 * 1024 * 1024;

static ROOM: Semaphore = Semaphore::const_new(AT_ONCE as usize);

/// A file within a request.
pub(super) struct InlineFile {
    /// The model's name of its type.
    pub(super) content_type: &'static str,
    pub(super) base64: String,
}

/// A message as a model is asked about it.
pub(super) struct ModelQuestion<'a> {
    message: &'a MessageContent<'a>,
    files: Vec<InlineFile>,
    cards: Vec<Card>,
    /// Files that the model gets.
    seen: Vec<&'a Attachment>,
    /// Files that neither the model nor the rules read.
    unseen: Vec<&'a Attachment>,
    /// Held until the model has answered.
    room: Option<SemaphorePermit<'static>>,
}

impl<'a> ModelQuestion<'a> {
    /// `takes` returns the model's name of a type, if the model accepts the type. `budget` is how
    /// many bytes all files may have together.
    pub(super) async fn of(
        message: &'a MessageContent<'a>,
        takes: fn(&str) -> Option<&'static str>,
        budget: u32,
    ) -> Result<Self, ExtractError> {
        let mut question = Self {
            message,
            files: Vec::new(),
            cards: Vec::new(),
            seen: Vec::new(),
            unseen: Vec::new(),
            room: None,
        };
        let mut left = u64::from(budget.min(AT_ONCE));
        let mut chosen = Vec::new();
        for attachment in message.media {
            let cards = rules::cards_in(attachment).await?;
            match takes(&attachment.essence()) {
                _ if !cards.is_empty() => question.cards.extend(cards),
                Some(content_type) if attachment.bytes <= left => {
                    left -= attachment.bytes;
                    chosen.push((attachment, content_type));
                }
                Some(_) | None => question.unseen.push(attachment),
            }
        }
        let total: u64 = chosen.iter().map(|(attachment, _)| attachment.bytes).sum();
        if total > 0 {
            let permits = u32::try_from(total).unwrap_or(AT_ONCE).min(AT_ONCE);
            // The semaphore is never closed. If it were, memory would only not be limited.
            question.room = ROOM.acquire_many(permits).await.ok();
        }
        for (attachment, content_type) in chosen {
            match attachment.content.read(attachment.bytes).await {
                Ok(bytes) => {
                    question.seen.push(attachment);
                    question.files.push(InlineFile {
                        content_type,
                        base64: BASE64_STANDARD.encode(bytes),
                    });
                }
                Err(ContentError::Gone | ContentError::TooLarge) => {
                    question.unseen.push(attachment);
                }
                Err(ContentError::Unavailable(error)) => return Err(ExtractError::Content(error)),
            }
        }
        question
            .unseen
            .sort_by_key(|attachment| attachment.position);
        Ok(question)
    }

    /// False if the rules understand everything in the message.
    pub(super) fn is_worth_asking(&self) -> bool {
        !self.files.is_empty() || !self.text().is_empty()
    }

    /// The files, for the request.
    pub(super) fn take_files(&mut self) -> Vec<InlineFile> {
        std::mem::take(&mut self.files)
    }

    pub(super) fn text(&self) -> &'a str {
        self.message.text.trim()
    }

    /// The items of the model's answer, followed by those of the rules. The model's contacts, tags,
    /// locations and notes come first, in this order. If the model finds nothing, its files are
    /// described as the rules describe files, so that no message with content ends without items.
    pub(super) fn answered(self, answer: ModelAnswer, by: ExtractedBy) -> Extraction {
        let text = self.text();
        let mut items = answer.into_items(&rules::tags(text));
        let mut named = self.unseen;
        if items.is_empty() {
            named.extend(self.seen);
            named.sort_by_key(|attachment| attachment.position);
        }
        items.extend(self.message.location.as_ref().map(rules::location));
        items.extend(rules::contacts(&self.cards, text));
        items.extend(rules::note("", &named));
        drop(self.room);
        Extraction::new(items, by)
    }

    /// The items of the rules, if the model is not asked.
    pub(super) fn unasked(self) -> Extraction {
        self.answered(ModelAnswer::default(), ExtractedBy::Rules)
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, sync::Arc};

    use super::*;

    #[tokio::test]
    async fn a_question_waits_while_other_questions_hold_too_many_bytes() {
        let media = [Attachment {
            position: 0,
            content_type: "image/png".to_owned(),
            bytes: 20_000_000, // as it says; there is no need to have them
            dimensions: None,
            duration: None,
            content: Arc::new(vec![0; 3]),
        }];
        let message = MessageContent {
            text: "",
            location: None,
            media: &media,
        };
        let takes = |_: &str| Some("image/png");
        let first = ModelQuestion::of(&message, takes, AT_ONCE).await.unwrap();
        let mut second = pin!(ModelQuestion::of(&message, takes, AT_ONCE));
        tokio::select! {
            biased;
            _ = &mut second => panic!("there was no room"),
            () = std::future::ready(()) => {}
        }
        let small = MessageContent {
            text: "no files",
            media: &[],
            ..message
        };
        assert!(ModelQuestion::of(&small, takes, AT_ONCE).await.is_ok());
        drop(first.answered(ModelAnswer::default(), ExtractedBy::Gemini));
        assert_eq!(second.await.unwrap().files.len(), 1);
    }
}
