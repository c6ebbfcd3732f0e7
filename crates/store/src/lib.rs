//! The tables of Pigeonhole, one file a table.
//!
//! Every function takes the caller's `&mut PgConnection`, so that the caller decides what commits
//! together. Personal data is sealed here before it is written, and opened here after it is read:
//! see [`Keyring`]. No phone number, message body or key reaches an error text or a `Debug` output
//! of this crate.

mod advisory_lock;
mod blind_index;
mod clock;
pub mod diagnostics;
mod durability;
mod e164;
pub mod enrichment_items;
mod error;
mod functions;
pub mod idempotency_keys;
pub mod inbound_messages;
pub mod job_args;
mod keyring;
mod legacy;
pub mod limit_log;
pub mod media;
mod migrate;
mod number_variants;
pub mod observe;
pub mod opt_outs;
pub mod pending_verifications;
mod readiness;
pub mod recovery;
mod sealed;
mod sealed_stream;
pub mod sends;
pub mod user_phone_numbers;
pub mod users;
mod wait_at_commit;

pub use crate::blind_index::BlindIndex;
pub use crate::clock::now;
pub use crate::e164::{E164, NotE164};
pub use crate::error::{DatabaseError, StoreError, expect_one};
pub use crate::functions::{SqlFunction, apply_functions, functions};
pub use crate::keyring::{KeyError, KeyId, Keyring};
pub use crate::migrate::{MigrationStatus, is_current, migrate, migrate_on, migration_status};
pub use crate::readiness::{probe_commit, probe_write};
pub use crate::sealed::Context;
pub use crate::sealed_stream::{FileKey, StreamOpener, StreamSealer};
pub use crate::wait_at_commit::wait_at_commit;
