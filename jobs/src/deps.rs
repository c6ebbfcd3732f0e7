//! What jobs work with.

use std::sync::Arc;

use sqlx::PgPool;
use store::Keyring;

/// Everything a job may need, made once at the start. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Deps {
    /// The database.
    pub pool: PgPool,
    /// The keys that open and seal personal data.
    pub keyring: Arc<Keyring>,
}
