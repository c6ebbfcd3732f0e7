//! Why a media file cannot be stored for now.

use std::time::Duration;

use twilio::media::MediaError;

use crate::MediaStoreError;

/// Why a file cannot be stored for now.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// Twilio has no such file, and the message is so new that the file may still appear.
    #[error("Twilio does not have the media file yet")]
    NotYet {
        /// How long to wait before looking again.
        look_again: Duration,
    },
    /// Twilio does not return the file for now.
    #[error(transparent)]
    Twilio(MediaError),
    /// The media store does not take the file for now.
    #[error(transparent)]
    Store(#[from] MediaStoreError),
    /// Another attempt has begun to store the file meanwhile, or its row is gone.
    #[error("the media file is not this attempt's to store any more")]
    Overtaken,
}
