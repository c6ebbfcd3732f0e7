//! `pigeonhole.idempotency_keys`: answers given to requests that carried an `Idempotency-Key`.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Keyring, StoreError};

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It is new, and now reserved until the transaction ends.
    New,
    /// It was used for the same request, which was answered so.
    Before {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: Vec<u8>,
    },
    /// It was used for another request.
    ForAnother,
}

/// Reserves a user's key for a request, whose method, path and body are its `request`; only keyed digests of both are
/// stored. While another transaction holds the same key, it waits for that one's end.
pub async fn reserve(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    key: &str,
    request: &[u8],
) -> Result<Seen, StoreError> {
    todo!()
}

/// Keeps the answer to the request for which the key was reserved in this transaction.
pub async fn answered(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    key: &str,
    status: u16,
    body: &[u8],
) -> Result<(), StoreError> {
    todo!()
}

/// Forgets keys that are older than this; answers how many.
pub async fn forget(conn: &mut PgConnection, age: Duration) -> Result<u64, StoreError> {
    todo!()
}
