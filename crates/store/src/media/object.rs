//! The object that holds a file.

use uuid::Uuid;

use crate::sealed_stream::FileKey;

/// The object with the sealed file, and its key. `Debug` hides the key.
#[derive(Debug, Clone)]
pub struct MediaObject {
    /// The row it belongs to.
    pub media_id: Uuid,
    /// The object's name.
    pub name: String,
    /// The key of this object.
    pub key: FileKey,
}
