//! Deletes objects, and lists old ones.

use std::{fs, io, path::Path, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{BoxStream, TryChunksError},
};
use object_store::{ObjectMeta, ObjectStoreExt, path::Path as ObjectPath};

use super::{MediaStore, MediaStoreError};

/// How many objects are listed at once.
const GROUP: usize = 1000;

impl MediaStore {
    /// Deletes an object. Not an error if it does not exist.
    pub async fn delete(&self, name: &str) -> Result<(), MediaStoreError> {
        match self
            .0
            .backend
            .delete(&self.path(name))
            .await
            .map_err(Into::into)
        {
            Ok(()) | Err(MediaStoreError::Missing) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Checks the store: writes an object under this name, reads it back and deletes it.
    pub async fn try_out(&self, name: &str) -> Result<(), MediaStoreError> {
        let (path, text) = (self.path(name), "Pigeonhole tries this store out.");
        self.0.backend.put(&path, text.into()).await?;
        let read = self.0.backend.get(&path).await?.bytes().await?;
        self.0.backend.delete(&path).await?;
        if read == text {
            Ok(())
        } else {
            Err(MediaStoreError::Missing)
        }
    }

    /// The folder, if the store is a folder.
    pub fn folder_path(&self) -> Option<&Path> {
        self.0.folder.as_deref()
    }

    /// Lists the objects of a namespace that were written before this time.
    pub fn older(&self, namespace: &str, time: DateTime<Utc>) -> OlderObjects {
        let objects = self.0.backend.list(Some(&self.path(namespace)));
        let older =
            objects.try_filter(move |object| std::future::ready(object.last_modified < time));
        OlderObjects {
            prefix: self.0.prefix.clone(),
            groups: older.try_chunks(GROUP).boxed(),
        }
    }

    /// Deletes interrupted uploads in a folder that have not been written to for this long, and
    /// returns how many. Lists of objects do not show them. In a cloud, a rule of the bucket
    /// deletes them.
    pub async fn delete_interrupted_uploads(
        &self,
        namespace: &str,
        idle: Duration,
    ) -> Result<u64, MediaStoreError> {
        let Some(folder) = &self.0.folder else {
            return Ok(0);
        };
        let folder = folder.join(namespace);
        let removed = tokio::task::spawn_blocking(move || delete_staged(&folder, idle)).await;
        removed
            .unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
            .map_err(MediaStoreError::Folder)
    }
}

/// A list of objects, read page by page.
pub struct OlderObjects {
    prefix: ObjectPath,
    groups: BoxStream<
        'static,
        Result<Vec<ObjectMeta>, TryChunksError<ObjectMeta, object_store::Error>>,
    >,
}

impl OlderObjects {
    /// The next names, at most 1000, or `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<String>>, MediaStoreError> {
        let Some(group) = self.groups.next().await else {
            return Ok(None);
        };
        let group = group.map_err(|TryChunksError(_, error)| MediaStoreError::from(error))?;
        let names = group.iter().filter_map(|object| {
            let below: ObjectPath = object.location.prefix_match(&self.prefix)?.collect();
            Some(below.to_string())
        });
        Ok(Some(names.collect()))
    }
}

/// An interrupted upload has the name of its object, followed by `#` and a number.
fn delete_staged(folder: &Path, idle: Duration) -> io::Result<u64> {
    let mut removed = 0;
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    for shelf in entries {
        for file in fs::read_dir(shelf?.path())? {
            let file = file?;
            let staged = file.file_name().to_string_lossy().contains('#');
            // Compared with the clock that wrote the file's time, if the folder is on this machine.
            let old = || {
                Ok::<_, io::Error>(
                    file.metadata()?.modified()?.elapsed().unwrap_or_default() >= idle,
                )
            };
            if staged && old()? {
                fs::remove_file(file.path())?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}
