//! The demo user, whose number the sample messages come from.

use uuid::Uuid;

/// The number of the demo user, from the range that is reserved for fiction.
pub(crate) const DEMO_NUMBER: &str = "+12025550123";

/// The demo user's id.
pub(super) const DEMO_USER: Uuid = Uuid::from_u128(0x0de3_0000_0000_4000_8000_0000_0000_0001);
