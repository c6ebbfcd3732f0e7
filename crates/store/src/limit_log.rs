//! `pigeonhole.limit_log`: what limits count, in exact sliding windows that hold across processes.

use std::time::Duration;

use sqlx::PgConnection;

use crate::{Keyring, StoreError};

/// At most `most` events of one key within any `window`.
#[derive(Debug, Clone)]
pub struct Limit {
    /// What it counts by, in clear, such as `user:…` or `number:+1…`. Only its blind index is stored.
    pub key: String,
    /// The most events within the window; 0 refuses everything.
    pub most: u32,
    /// The window.
    pub window: Duration,
}

/// A limit that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    /// Its position in the list that was asked about; of several, the one that lasts longest.
    pub limit: usize,
    /// How long until it allows an event again, by the database's clock; at least a second.
    pub wait: Duration,
}

/// Waits for its turn to take and count, until the transaction ends: between [`exceeded`] and [`record`] nobody else
/// may record. One lock for all: whoever it holds up is about to spend money.
pub async fn lock(conn: &mut PgConnection) -> Result<(), StoreError> {
    todo!()
}

/// The limit that refuses an event now, if one does. Without [`lock`] the answer may be out of date when it arrives, and
/// then only to the good of whoever asks: it is for refusing early.
pub async fn exceeded(
    conn: &mut PgConnection,
    keyring: &Keyring,
    limits: &[Limit],
) -> Result<Option<Exceeded>, StoreError> {
    todo!()
}

/// Counts one event for each of these keys, now by the database's clock. A key that stands there twice counts once.
pub async fn record(
    conn: &mut PgConnection,
    keyring: &Keyring,
    limits: &[Limit],
) -> Result<(), StoreError> {
    todo!()
}

/// Forgets what no window of at most `longest` reaches; answers how many rows went.
pub async fn forget(conn: &mut PgConnection, longest: Duration) -> Result<u64, StoreError> {
    todo!()
}
