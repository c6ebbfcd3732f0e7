//! Deleting objects, and finding those that nobody needs.

use std::{fs, io, path::Path, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{BoxStream, TryChunksError},
};
use object_store::{ObjectMeta, ObjectStoreExt, path::Path as ObjectPath};

use super::{MediaStore, MediaStoreError};

/// Objects that are listed at once.
const GROUP: usize = 1000;

impl MediaStore {
    /// Deletes an object. It does not matter if it is not there.
    pub async fn delete(&self, name: &str) -> Result<(), MediaStoreError> {
        match self
            .0
            .objects
            .delete(&self.path(name))
            .await
            .map_err(Into::into)
        {
            Ok(()) | Err(MediaStoreError::Missing) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Writes an object under this name, reads it back and deletes it: does the store do its work?
    pub async fn try_out(&self, name: &str) -> Result<(), MediaStoreError> {
        let (path, text) = (self.path(name), "Pigeonhole tries this store out.");
        self.0.objects.put(&path, text.into()).await?;
        let read = self.0.objects.get(&path).await?.bytes().await?;
        self.0.objects.delete(&path).await?;
        if read == text {
            Ok(())
        } else {
            Err(MediaStoreError::Missing)
        }
    }

    /// The folder, if the store is one.
    pub fn folder_path(&self) -> Option<&Path> {
        self.0.folder.as_deref()
    }

    /// The names of all objects of a namespace that were written before this time.
    pub fn older(&self, namespace: &str, time: DateTime<Utc>) -> OlderObjects {
        let objects = self.0.objects.list(Some(&self.path(namespace)));
        let older =
            objects.try_filter(move |object| std::future::ready(object.last_modified < time));
        OlderObjects {
            prefix: self.0.prefix.clone(),
            groups: older.try_chunks(GROUP).boxed(),
        }
    }

    /// Deletes what uploads that were cut off have left in a folder, if they have not been written to for this long;
    /// answers how many. A list does not show it. At a cloud this is left to a rule of the bucket.
    pub async fn remove_cut_off(
        &self,
        namespace: &str,
        idle: Duration,
    ) -> Result<u64, MediaStoreError> {
        let Some(folder) = &self.0.folder else {
            return Ok(0);
        };
        let folder = folder.join(namespace);
        let removed = tokio::task::spawn_blocking(move || remove_staged(&folder, idle)).await;
        removed
            .unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
            .map_err(MediaStoreError::Folder)
    }
}

/// A list of objects under way.
pub struct OlderObjects {
    prefix: ObjectPath,
    groups: BoxStream<
        'static,
        Result<Vec<ObjectMeta>, TryChunksError<ObjectMeta, object_store::Error>>,
    >,
}

impl OlderObjects {
    /// The next names, at most 1000; `None` at the end.
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

/// A staged upload is named as its object, with `#` and a number behind it.
fn remove_staged(folder: &Path, idle: Duration) -> io::Result<u64> {
    let mut removed = 0;
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    for shelf in entries {
        for file in fs::read_dir(shelf?.path())? {
            let file = file?;
            let staged = file.file_name().to_string_lossy().contains('#');
            // By the folder's clock alone, which wrote the file's time, as far as it is the same machine's.
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
