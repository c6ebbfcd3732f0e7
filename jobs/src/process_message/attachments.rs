//! A message's stored files as extractors see them.

use std::sync::Arc;

use store::{
    Keyring,
    media::{Media, MediaObject, MediaState},
};

use super::extract::{Attachment, AttachmentBytes, BytesFuture, ContentError};
use crate::{MediaStore, MediaStoreError, StepError};

/// The type of a file whose type is not known. A stored file always has one.
const UNKNOWN: &str = "application/octet-stream";

/// The files that extractors describe. A file that was refused, or that is gone at Twilio, is not
/// among them. A file that was stored and has been erased since can still be named.
pub(crate) fn attachments(
    store: &MediaStore,
    keyring: &Keyring,
    media: &[Media],
) -> Result<Vec<Attachment>, StepError> {
    let files = media.iter().filter_map(|file| {
        let bytes: Arc<dyn AttachmentBytes> = match file.state {
            MediaState::Stored => match file.object(keyring) {
                Ok(Some(object)) => Arc::new(StoredFile {
                    store: store.clone(),
                    object,
                }),
                Ok(None) => Arc::new(ErasedFile),
                Err(error) => return Some(Err(error.into())),
            },
            MediaState::Erased => Arc::new(ErasedFile),
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
            content: bytes,
        }))
    });
    files.collect()
}

/// A file in the media store. It is read when an extractor needs its bytes.
struct StoredFile {
    store: MediaStore,
    object: MediaObject,
}

impl AttachmentBytes for StoredFile {
    fn read(&self, limit: u64) -> BytesFuture<'_> {
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

/// A file that has been erased.
struct ErasedFile;

impl AttachmentBytes for ErasedFile {
    fn read(&self, _: u64) -> BytesFuture<'_> {
        Box::pin(std::future::ready(Err(ContentError::Gone)))
    }
}
