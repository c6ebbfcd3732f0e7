//! The bounds of a call: how long it takes and how many rows it reads.

use std::time::Duration;

/// The time limit of a statement.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// The most rows of an index that one call reads.
pub(super) const MOST_ROWS: i64 = 10_000;

/// A worker whose last entry is older than this many seconds counts as gone. Three entries are then
/// overdue.
pub(super) const STALE_SECONDS: f64 = 35.0;
