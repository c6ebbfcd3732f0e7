//! Opens the store at an address.

use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use object_store::{ObjectStore, local::LocalFileSystem, parse_url_opts, path::Path as ObjectPath};
use url::Url;

use super::{MediaStore, MediaStoreError, store::OpenStore};

/// A folder accepts parts of any size.
const FOLDER_PART: usize = 256 * 1024;

/// The smallest part that S3 accepts, except for the last part.
const CLOUD_PART: usize = 5 * 1024 * 1024;

impl MediaStore {
    /// The store at `file:///folder`, `s3://bucket/prefix`, `gs://bucket/prefix` or
    /// `az://container/prefix`. `options` are the cloud's, by the names of its environment
    /// variables, such as `AWS_ACCESS_KEY_ID`. A folder is created, readable by this user only.
    pub fn at(url: &Url, options: &[(String, String)]) -> Result<Self, MediaStoreError> {
        match url.scheme() {
            "file" => {
                let folder = url
                    .to_file_path()
                    .map_err(|()| MediaStoreError::Address("file: needs a path from the root"))?;
                Self::folder(&folder)
            }
            "s3" | "gs" | "az" => {
                let options = options.iter().map(|(name, value)| (name, value.as_str()));
                let (objects, prefix) = parse_url_opts(url, options)?;
                Ok(Self::of(objects, prefix, None, CLOUD_PART))
            }
            _ => Err(MediaStoreError::Address(
                "it must begin with file:///, s3://, gs:// or az://",
            )),
        }
    }

    fn folder(folder: &Path) -> Result<Self, MediaStoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(MediaStoreError::Folder)?;
        // A file in state `stored` may be deleted at Twilio, so it must survive a failure of the
        // machine.
        let objects = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
        let folder = folder.canonicalize().map_err(MediaStoreError::Folder)?;
        let root = ObjectPath::default();
        Ok(Self::of(Box::new(objects), root, Some(folder), FOLDER_PART))
    }

    fn of(
        backend: Box<dyn ObjectStore>,
        prefix: ObjectPath,
        folder: Option<PathBuf>,
        part: usize,
    ) -> Self {
        Self(Arc::new(OpenStore {
            backend,
            prefix,
            folder,
            part,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Result<MediaStore, MediaStoreError> {
        let key = |name: &str| (name.to_owned(), "x".to_owned());
        let options = [
            key("AWS_ACCESS_KEY_ID"),
            key("AWS_SECRET_ACCESS_KEY"),
            key("AZURE_STORAGE_ACCOUNT_NAME"),
            key("UNKNOWN"),
        ];
        MediaStore::at(&url.parse().unwrap(), &options)
    }

    #[test]
    fn a_store_can_be_a_bucket_of_each_cloud_and_no_other_url() {
        for url in ["s3://bucket/media", "gs://bucket", "az://container/media"] {
            assert!(at(url).is_ok(), "{url}: {:?}", at(url));
        }
        for url in [
            "http://example.com/x",
            "memory:///",
            "ftp://example.com",
            "data:,x",
            "file://host/x",
        ] {
            assert!(matches!(at(url), Err(MediaStoreError::Address(_))), "{url}");
        }
    }
}
