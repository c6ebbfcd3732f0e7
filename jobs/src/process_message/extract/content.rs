//! A message as extractors see it.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use twilio::webhook::Location;

use super::ContentError;

/// A message without its sender, its receiver and its time. `Debug` hides what it says.
#[derive(Clone, Copy)]
pub struct MessageContent<'a> {
    /// The text as it was sent, or an empty string.
    pub text: &'a str,
    /// The location that was shared.
    pub location: Option<Location<'a>>,
    /// The files that came with it and are stored, in the order of the message.
    pub media: &'a [Attachment],
}

impl fmt::Debug for MessageContent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageContent([sealed], {:?})", self.media)
    }
}

/// A file that came with a message. Its bytes are read only when an extractor needs them.
#[derive(Clone)]
pub struct Attachment {
    /// The N of `MediaUrlN`.
    pub position: u8,
    /// The type of its bytes, whatever type was declared.
    pub content_type: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Width and height in pixels, of an image or a video.
    pub dimensions: Option<(u32, u32)>,
    /// How long it plays, if known.
    pub duration: Option<Duration>,
    /// Reads its bytes.
    pub content: Arc<dyn AttachmentBytes>,
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

/// What [`AttachmentBytes::read`] returns.
pub type BytesFuture<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, ContentError>> + Send + 'a>>;

/// Reads the bytes of an attachment.
pub trait AttachmentBytes: Send + Sync {
    /// Reads all bytes. [`ContentError::TooLarge`] if there are more than `limit`.
    fn read(&self, limit: u64) -> BytesFuture<'_>;
}

/// Bytes in memory.
impl AttachmentBytes for Vec<u8> {
    fn read(&self, limit: u64) -> BytesFuture<'_> {
        let fits = u64::try_from(self.len()).is_ok_and(|length| length <= limit);
        let read = if fits {
            Ok(self.clone())
        } else {
            Err(ContentError::TooLarge)
        };
        Box::pin(std::future::ready(read))
    }
}
