//! What workers do: a module for each kind of job.
//!
//! A job's arguments are ids. The job loads what it needs and does its work outside any
//! transaction. Then one transaction writes its effect and completes the job.

mod cleanup;
mod confirmed_end;
mod deps;
mod error;
mod media_store;
pub mod metrics;
mod policy;
mod process_message;
mod reconcile_dead_messages;
mod recover_messages;
mod replay;
mod replies;
mod send_sms;

pub use cleanup::{
    CleanupMediaFiles, CleanupMessageBodies, CleanupOrphanedObjects, CleanupSends,
    CleanupTwilioCopies,
};
pub use deps::{
    CleanupDeps, DownloadDeps, MessageDeps, MessageOptions, RecoveryDeps, RecoveryNumbers, SendDeps,
};
pub use error::StepError;
pub use media_store::{MediaReader, MediaStore, MediaStoreError, MediaWriter, OlderObjects};
pub use policy::MessagePolicy;
pub use process_message::{
    download::{DownloadError, download},
    extract,
};
pub use reconcile_dead_messages::ReconcileDeadMessages;
pub use recover_messages::{FoundMessage, FoundState, LookReport, LookScope, recover};
pub use replay::{ItemChange, ItemChangeKind, ReplayDeps, ReplayError, Replayed, replay};
pub use replies::{Notice, Replies, ReplyTemplates, ReplyTo, default_reply_template};
