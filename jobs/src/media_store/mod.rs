//! Where media files lie: sealed, in a folder or at a cloud.
//!
//! It never sees a file in clear but on its way through, chunk by chunk, and no name here says whose a file is. What
//! opens an object is in its row: see `store::media`.

mod cleanup;
mod location;

use std::{collections::VecDeque, fmt, path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use object_store::{
    MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, path::Path as ObjectPath,
};
use store::{StoreError, StreamOpener, StreamSealer, media::Object};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum MediaStoreError {
    /// The address of the store is none.
    #[error("the media store's address cannot be used: {0}")]
    Address(&'static str),
    /// The folder cannot be made.
    #[error("the media store's folder cannot be made")]
    Folder(#[source] std::io::Error),
    /// The object is not there.
    #[error("the object of a media file is missing")]
    Missing,
    /// The store cannot be reached, is full, or refuses us.
    #[error("the media store failed")]
    Store(#[source] object_store::Error),
    /// The file cannot be sealed, or does not open.
    #[error(transparent)]
    Seal(#[from] StoreError),
    /// The file is longer than the caller is ready for.
    #[error("the media file has more than {0} bytes")]
    TooLong(u64),
}

impl From<object_store::Error> for MediaStoreError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Missing,
            error => Self::Store(error),
        }
    }
}

/// A place for objects. Cheap to clone.
#[derive(Clone)]
pub struct MediaStore(Arc<Inner>);

struct Inner {
    objects: Box<dyn ObjectStore>,
    /// What all names begin with.
    prefix: ObjectPath,
    /// The folder, if it is one.
    folder: Option<PathBuf>,
    /// As much as is written at once.
    part: usize,
}

impl MediaStore {
    fn path(&self, name: &str) -> ObjectPath {
        let path = ObjectPath::from(name);
        self.0.prefix.parts().chain(path.parts()).collect()
    }

    /// Begins to write a file.
    pub fn create(&self, object: &Object) -> Result<MediaWriter, MediaStoreError> {
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

    /// Opens a file for reading.
    pub async fn open(&self, object: &Object) -> Result<MediaReader, MediaStoreError> {
        let found = self.0.objects.get(&self.path(&object.name)).await?;
        Ok(MediaReader {
            sealed: found.into_stream(),
            opener: Some(StreamOpener::new(object.key.clone(), object.media_id)),
        })
    }

    /// The whole file, if it has no more bytes than this.
    pub async fn read_all(&self, object: &Object, limit: u64) -> Result<Vec<u8>, MediaStoreError> {
        let mut reader = self.open(object).await?;
        let mut file = Vec::new();
        while let Some(piece) = reader.next().await? {
            if (file.len() + piece.len()) as u64 > limit {
                return Err(MediaStoreError::TooLong(limit));
            }
            file.extend_from_slice(&piece);
        }
        Ok(file)
    }
}

/// A file on its way into the store. Nothing is there until [`MediaWriter::finish`]; dropping it leaves at most what
/// the store's upkeep clears away.
pub struct MediaWriter {
    store: MediaStore,
    path: ObjectPath,
    sealer: StreamSealer,
    /// Sealed and not written. In the pieces in which it came, so that nothing is copied to and fro while it grows.
    pending: VecDeque<Bytes>,
    /// How much that is.
    length: usize,
    upload: Option<Box<dyn MultipartUpload>>,
}

impl MediaWriter {
    /// Takes more of the file.
    pub async fn write(&mut self, plaintext: &[u8]) -> Result<(), MediaStoreError> {
        let mut sealed = Vec::new();
        self.sealer.push(plaintext, &mut sealed)?;
        self.append(sealed);
        let part = self.store.0.part;
        while self.length > part {
            let payload = self.take(part);
            let upload = match &mut self.upload {
                Some(upload) => upload,
                none => none.insert(self.store.0.objects.put_multipart(&self.path).await?),
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

    /// The first bytes of what is pending, as many as this.
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

    /// Ends the file. Afterwards it is there, also if the machine fails.
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
                self.store.0.objects.put(&self.path, last).await?;
            }
        }
        Ok(())
    }

    /// Leaves nothing, if the store lets us.
    pub async fn abort(self) {
        if let Some(mut upload) = self.upload
            && let Err(error) = upload.abort().await
        {
            tracing::warn!(%error, "an upload could not be aborted: it is left to the store's upkeep");
        }
    }
}

/// A file on its way out of the store.
pub struct MediaReader {
    sealed: BoxStream<'static, object_store::Result<Bytes>>,
    /// None at the end.
    opener: Option<StreamOpener>,
}

impl MediaReader {
    /// The next piece of the file; `None` at its end, and only when it is whole.
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

impl fmt::Debug for MediaStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MediaStore({}, {})", self.0.objects, self.0.prefix)
    }
}

impl fmt::Debug for MediaWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MediaWriter({})", self.path)
    }
}

impl fmt::Debug for MediaReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MediaReader([sealed])")
    }
}
