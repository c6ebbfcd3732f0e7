//! What the workers do: one file a job, and the steps that jobs are made of.
//!
//! A job's arguments are ids; it loads what it needs, does its work outside any transaction, and ends with one
//! transaction that writes its effect and completes it.

mod batches;
mod delete_at_twilio;
mod deps;
mod error;
pub mod extract;
mod forget;
mod line;
mod media_store;
mod media_sweep;
mod media_upkeep;
mod message_deps;
pub mod metrics;
mod process_message;
mod replay;
mod replies;
mod retention;
mod send_reply;
mod send_verification;
mod settle_messages;
mod steps;

pub use delete_at_twilio::DeleteAtTwilio;
pub use deps::{Deps, Policy, SendDeps};
pub use error::StepError;
pub use forget::Forget;
pub use line::{Line, Taker, line};
pub use media_store::{MediaReader, MediaStore, MediaStoreError, MediaWriter};
pub use media_sweep::MediaSweep;
pub use media_upkeep::{MediaUpkeep, MediaUpkeepDeps};
pub use message_deps::MessageDeps;
pub use process_message::ProcessMessage;
pub use replay::{Change, ReplayDeps, ReplayError, Replayed, What, replay};
pub use replies::{Notice, Replies, ReplyTo, Words, default_words};
pub use retention::{EraseMessages, RetentionDeps};
pub use send_reply::SendReply;
pub use send_verification::SendVerification;
pub use settle_messages::SettleMessages;
pub use steps::download::{DownloadError, MediaDeps, download};
pub use steps::state_of;
