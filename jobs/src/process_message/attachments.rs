//! A message's stored files as extractors see them.

use std::sync::Arc;

use store::{
    Keyring,
    media::{Media, MediaState, Object},
};

use crate::{
    MediaStore, MediaStoreError, StepError,
    extract::{Attachment, Content, ContentError, ContentFuture},
};

/// What type a file has of which nobody has seen a byte. It cannot be, for one that was stored.
const UNKNOWN: &str = "application/octet-stream";

/// The files that there is something to say of: what is refused, or not there any more at Twilio, is none of them. One
/// that was stored and has been erased meanwhile can still be named.
pub(crate) fn attachments(
    store: &MediaStore,
    keyring: &Keyring,
    media: &[Media],
) -> Result<Vec<Attachment>, StepError> {
    let files = media.iter().filter_map(|file| {
        let content: Arc<dyn Content> = match file.state {
            MediaState::Stored => match file.object(keyring) {
                Ok(Some(object)) => Arc::new(Stored {
                    store: store.clone(),
                    object,
                }),
                Ok(None) => Arc::new(Erased),
                Err(error) => return Some(Err(error.into())),
            },
            MediaState::Erased => Arc::new(Erased),
            MediaState::Storing | MediaState::Refused(_) | MediaState::Gone => return None,
        };
        Some(Ok(Attachment {
            position: file.position,
            content_type: file
                .content_type
                .clone()
                .unwrap_or_else(|| UNKNOWN.to_owned()),
            bytes: file.bytes.unwrap_or(0),
            dimensions: file.dimensions,
            duration: None,
            content,
        }))
    });
    files.collect()
}

/// A file in the store, which is read when somebody wants to know what is in it.
struct Stored {
    store: MediaStore,
    object: Object,
}

impl Content for Stored {
    fn read(&self, limit: u64) -> ContentFuture<'_> {
        Box::pin(async move {
            let read = self.store.read_all(&self.object, limit).await;
            read.map_err(|error| match error {
                // Its row has been erased since it was read.
                MediaStoreError::Missing => ContentError::Gone,
                MediaStoreError::TooLong(_) => ContentError::TooLarge,
                error => ContentError::Unavailable(Box::new(error)),
            })
        })
    }
}

/// A file that is there no more.
struct Erased;

impl Content for Erased {
    fn read(&self, _: u64) -> ContentFuture<'_> {
        Box::pin(std::future::ready(Err(ContentError::Gone)))
    }
}
