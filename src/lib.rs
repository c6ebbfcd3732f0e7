//! Pigeonhole receives text messages through Twilio webhooks and turns them into records in
//! Postgres. It never loses a message that it has accepted.
//!
//! This crate is the program: its edges and its wiring. Read it along the data path: first
//! [`receiver`], then the jobs that [`worker`] lists. The jobs live in the crate `jobs`, on top of
//! the crates `store`, `queue` and `twilio`.

mod admin;
pub mod cli;
pub mod config;
pub mod country;
pub mod database;
pub mod descriptors;
#[cfg(feature = "dev")]
mod dev;
mod error_chain;
mod health;
pub mod http;
pub mod metrics;
mod observer;
mod presentation;
mod process_identity;
pub mod receiver;
mod recovery_trigger;
pub mod services;
pub mod shutdown;
pub mod telemetry;
pub mod token_keys;
pub mod traces;
pub mod worker;
