//! Writes one file to the media store.

use std::{collections::VecDeque, fmt};

use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload, path::Path as ObjectPath};
use store::{StreamSealer, media::MediaObject};

use super::{MediaStore, MediaStoreError};

impl MediaStore {
    /// Begins to write a file.
    pub fn create(&self, object: &MediaObject) -> Result<MediaWriter, MediaStoreError> {
        let mut header = Vec::new();
        let sealer = StreamSealer::begin(&object.key, object.media_id, &mut header)?;
        Ok(MediaWriter {
            store: self.clone(),
            path: self.path(&object.name),
            sealer,
            length: header.len(),
            pending: VecDeque::from([header.into()]),
            upload: None,
        })
    }
}

/// A file that is being written to the store. The object does not exist before
/// [`MediaWriter::finish`]. A writer that is dropped leaves at most an interrupted upload, which
/// `cleanup_orphaned_objects` deletes.
pub struct MediaWriter {
    store: MediaStore,
    path: ObjectPath,
    sealer: StreamSealer,
    /// Sealed bytes that are not written yet, in the pieces in which they came, so that nothing is
    /// copied.
    pending: VecDeque<Bytes>,
    /// How many bytes are pending.
    length: usize,
    upload: Option<Box<dyn MultipartUpload>>,
}

impl MediaWriter {
    /// Appends to the file.
    pub async fn write(&mut self, plaintext: &[u8]) -> Result<(), MediaStoreError> {
        let mut sealed = Vec::new();
        self.sealer.push(plaintext, &mut sealed)?;
        self.append(sealed);
        let part = self.store.0.part;
        while self.length > part {
            let payload = self.take(part);
            let upload = match &mut self.upload {
                Some(upload) => upload,
                none => none.insert(self.store.0.backend.put_multipart(&self.path).await?),
            };
            upload.put_part(payload).await?;
        }
        Ok(())
    }

    fn append(&mut self, sealed: Vec<u8>) {
        if !sealed.is_empty() {
            self.length += sealed.len();
            self.pending.push_back(sealed.into());
        }
    }

    /// Removes this many bytes from the front of what is pending.
    fn take(&mut self, length: usize) -> PutPayload {
        let (mut taken, mut left) = (Vec::new(), length.min(self.length));
        self.length -= left;
        while let Some(mut piece) = self.pending.pop_front() {
            if piece.len() > left {
                let rest = piece.split_off(left);
                self.pending.push_front(rest);
            }
            left -= piece.len();
            taken.push(piece);
            if left == 0 {
                break;
            }
        }
        taken.into_iter().collect()
    }

    /// Ends the file. Afterwards the object exists, even if the machine fails.
    pub async fn finish(mut self) -> Result<(), MediaStoreError> {
        let mut sealed = Vec::new();
        self.sealer.finish(&mut sealed)?;
        self.pending.push_back(sealed.into());
        let last: PutPayload = self.pending.into_iter().collect();
        match self.upload {
            Some(mut upload) => {
                upload.put_part(last).await?;
                upload.complete().await?;
            }
            None => {
                self.store.0.backend.put(&self.path, last).await?;
            }
        }
        Ok(())
    }

    /// Aborts the upload.
    pub async fn abort(self) {
        if let Some(mut upload) = self.upload
            && let Err(error) = upload.abort().await
        {
            tracing::warn!(%error, "an upload could not be aborted: cleanup_orphaned_objects will delete it");
        }
    }
}

impl fmt::Debug for MediaWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MediaWriter({})", self.path)
    }
}
