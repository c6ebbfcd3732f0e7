//! What processing a message needs.

use std::sync::Arc;

use crate::{MediaDeps, extract::WithFallback};

/// What messages need besides. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MessageDeps {
    /// The database, the keys, and how files come and are kept.
    pub media: MediaDeps,
    /// Finds what a message says.
    pub extractor: Arc<WithFallback>,
    /// The most bytes of a file, which a user whose file has more is told.
    pub max_bytes: u64,
    /// False: a message's files go as soon as it has ended.
    pub keep_media: bool,
    /// Have Twilio delete a message's files once it has ended.
    pub delete_at_twilio: bool,
}
