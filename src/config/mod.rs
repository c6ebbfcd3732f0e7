//! Configuration: reads the environment into small typed structs. No other module reads the
//! environment.
//!
//! `variables.rs` lists all settings. Each struct reads its own. All mistakes are reported
//! together, by name, before anything starts.

mod admin;
mod api;
mod database;
mod encryption;
mod extraction;
mod logs;
mod media;
mod messages;
mod observer;
mod parse;
mod process;
mod reader;
mod receiver;
mod recovery;
mod replies;
mod sending;
mod traces;
mod twilio_account;
mod variable;
mod variables;
mod verification;
mod worker;

pub use admin::AdminConfig;
pub use api::{ApiConfig, Jwks, TokenConfig};
pub use database::DatabaseConfig;
pub use encryption::keyring;
pub use extraction::ExtractionConfig;
pub use logs::LogConfig;
pub use media::{MediaConfig, MediaStoreConfig};
pub use observer::ObserverConfig;
pub use process::ProcessConfig;
pub use reader::{Env, Mistakes, Reader};
pub use receiver::ReceiverConfig;
pub use recovery::RecoveryConfig;
pub use sending::{STATUS_PATH, SendingConfig, WEBHOOK_PATH};
pub use traces::TracesConfig;
pub use twilio_account::TwilioConfig;
pub use variable::Variable;
pub use variables::VARIABLES;
pub use verification::VerificationConfig;
pub use worker::WorkerConfig;

#[cfg(test)]
mod tests;
