//! Reads one file from the media store.

use std::fmt;

use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use store::{StreamOpener, media::MediaObject};

use super::MediaStoreError;

/// A file that is being read from the store.
pub struct MediaReader {
    sealed: BoxStream<'static, object_store::Result<Bytes>>,
    /// `None` at the end of the file.
    opener: Option<StreamOpener>,
}

impl MediaReader {
    pub(super) fn new(
        object: &MediaObject,
        sealed: BoxStream<'static, object_store::Result<Bytes>>,
    ) -> Self {
        Self {
            sealed,
            opener: Some(StreamOpener::new(object.key.clone(), object.media_id)),
        }
    }

    /// The next piece of the file, or `None` at its end. An error if the file is cut short.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, MediaStoreError> {
        let mut piece = Vec::new();
        while let Some(opener) = &mut self.opener {
            match self.sealed.next().await {
                Some(sealed) => opener.push(&sealed?, &mut piece)?,
                None => {
                    if let Some(opener) = self.opener.take() {
                        opener.finish(&mut piece)?;
                    }
                }
            }
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

impl fmt::Debug for MediaReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MediaReader([sealed])")
    }
}
