//! The media store: where sealed objects are, and how one file is read.

use std::{fmt, fs, path::PathBuf, sync::Arc};

use object_store::{ObjectStore, ObjectStoreExt, path::Path as ObjectPath};
use store::media::MediaObject;

use super::{MediaReader, MediaStoreError};

/// A place for objects. Cheap to clone.
#[derive(Clone)]
pub struct MediaStore(pub(super) Arc<OpenStore>);

pub(super) struct OpenStore {
    pub(super) backend: Box<dyn ObjectStore>,
    /// The prefix of all names.
    pub(super) prefix: ObjectPath,
    /// The folder, if the store is a folder.
    pub(super) folder: Option<PathBuf>,
    /// How many bytes are written at once.
    pub(super) part: usize,
}

impl MediaStore {
    pub(super) fn path(&self, name: &str) -> ObjectPath {
        let path = ObjectPath::from(name);
        self.0.prefix.parts().chain(path.parts()).collect()
    }

    /// Opens a file for reading.
    pub async fn open(&self, object: &MediaObject) -> Result<MediaReader, MediaStoreError> {
        let found = self.0.backend.get(&self.path(&object.name)).await;
        match found.map_err(MediaStoreError::from) {
            Ok(found) => Ok(MediaReader::new(object, found.into_stream())),
            Err(MediaStoreError::Missing) if self.is_absent().await => Err(MediaStoreError::Absent),
            Err(error) => Err(error),
        }
    }

    /// True if the store is a folder that has nothing. A disk that is not mounted looks so. Then a
    /// file that is not found is not known to be gone.
    async fn is_absent(&self) -> bool {
        let Some(folder) = self.0.folder.clone() else {
            return false;
        };
        let has_any = move || fs::read_dir(folder).is_ok_and(|mut found| found.next().is_some());
        !tokio::task::spawn_blocking(has_any).await.unwrap_or(false)
    }

    /// Reads the whole file. An error if it has more bytes than `limit`.
    pub async fn read_all(
        &self,
        object: &MediaObject,
        limit: u64,
    ) -> Result<Vec<u8>, MediaStoreError> {
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

impl fmt::Debug for MediaStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MediaStore({}, {})", self.0.backend, self.0.prefix)
    }
}
