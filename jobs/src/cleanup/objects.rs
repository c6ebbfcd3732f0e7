//! Deletes objects from the media store, several at once.

use futures_util::{StreamExt, stream};

use crate::{
    MediaStore, MediaStoreError,
    metrics::{self, Removed},
};

/// How many objects are deleted at once.
const CONCURRENT: usize = 16;

/// Deletes objects. Returns the names of those that are deleted, and an error if others could not
/// be deleted.
pub(super) async fn delete_all(
    store: &MediaStore,
    names: Vec<String>,
) -> (Vec<String>, Option<MediaStoreError>) {
    let tries = stream::iter(names).map(async |name| store.delete(&name).await.map(|()| name));
    let mut tries = tries.buffer_unordered(CONCURRENT);
    let (mut deleted, mut failed) = (Vec::new(), None);
    while let Some(tried) = tries.next().await {
        match tried {
            Ok(name) => deleted.push(name),
            Err(error) => failed = Some(error),
        }
    }
    metrics::removed(Removed::MediaObjects, deleted.len() as u64);
    (deleted, failed)
}
