//! Why the media store failed.

use store::StoreError;

/// Why the media store failed.
#[derive(Debug, thiserror::Error)]
pub enum MediaStoreError {
    /// The address of the store is not valid.
    #[error("the media store's address cannot be used: {0}")]
    Address(&'static str),
    /// The folder cannot be created.
    #[error("the media store's folder cannot be created")]
    Folder(#[source] std::io::Error),
    /// The store's folder is not there, or it is empty: its disk is not mounted.
    #[error("the media store's folder is empty or missing: is its disk mounted?")]
    Absent,
    /// The object does not exist.
    #[error("the object of a media file is missing")]
    Missing,
    /// The store cannot be reached, is full, or refuses access.
    #[error("the media store failed")]
    Store(#[source] object_store::Error),
    /// The file cannot be sealed or opened.
    #[error(transparent)]
    Seal(#[from] StoreError),
    /// The file is longer than the caller allows.
    #[error("the media file has more than {0} bytes")]
    TooLong(u64),
}

impl MediaStoreError {
    /// True if the store is away, full or read-only, so that waiting is the cure: the same call may
    /// succeed later, and no file is at fault.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Folder(_) | Self::Absent | Self::Store(_) => true,
            Self::Seal(error) => error.is_unavailable(),
            Self::Address(_) | Self::Missing | Self::TooLong(_) => false,
        }
    }
}

impl From<object_store::Error> for MediaStoreError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Missing,
            error => Self::Store(error),
        }
    }
}
