//! What workers do: one module for each kind of job.
//!
//! A job's arguments are ids. The job loads what it needs and does its work outside any transaction. Then one
//! transaction writes its effect and completes it.

mod batches;
mod cleanup;
mod deps;
mod error;
mod line;
mod media_store;
pub mod metrics;
mod process_message;
mod reconcile_dead_messages;
mod replay;
mod replies;
mod send_sms;

pub use cleanup::{
    media_files::{CleanupMediaFiles, MediaUpkeepDeps},
    message_bodies::{CleanupMessageBodies, RetentionDeps},
    orphaned_objects::CleanupOrphanedObjects,
    sends::CleanupSends,
    twilio_copies::CleanupTwilioCopies,
};
pub use deps::{Deps, MessageDeps, Policy, SendDeps};
pub use error::StepError;
pub use line::{Line, Taker, line};
pub use media_store::{MediaReader, MediaStore, MediaStoreError, MediaWriter};
pub use process_message::{
    download::{DownloadError, MediaDeps, download},
    extract,
};
pub use reconcile_dead_messages::ReconcileDeadMessages;
pub use replay::{Change, ReplayDeps, ReplayError, Replayed, What, replay};
pub use replies::{Notice, Replies, ReplyTo, Words, default_words};
pub use send_sms::state_of;
