//! What a rate limit allows.

use std::{num::NonZeroU32, time::Duration};

/// At most `burst` events of a key at once, and one more every `period`.
///
/// It may change at any time. Reservations that were made stay as they are; later ones obey the new
/// limit among themselves.
#[derive(Debug, Clone, Copy)]
pub struct RateLimit {
    /// How many events an unused key may have at once.
    pub burst: NonZeroU32,
    /// How long it takes until one more is admitted. Counted in whole microseconds, rounded up, at
    /// least one; and shortened where `burst` periods are longer than fifty years.
    pub period: Duration,
    /// An event whose reservation would be further away than this is refused. At most fifty years.
    pub max_delay: Duration,
}
