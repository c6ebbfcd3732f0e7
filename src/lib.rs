//! Pigeonhole takes text messages in through Twilio webhooks and turns them into records in Postgres, and never loses
//! one that it has answered for.
//!
//! This is the program: edges and wiring. The reading order is the data path: [`receiver`], then the jobs that
//! [`worker`] lists, which live in the `jobs` crate, over the `queue`, `store` and `twilio` crates.

mod admin;
pub mod cli;
pub mod config;
pub mod country;
pub mod database;
pub mod descriptors;
#[cfg(feature = "dev")]
mod dev;
mod health;
pub mod http;
pub mod metrics;
mod observer;
mod process_identity;
pub mod receiver;
pub mod services;
pub mod shutdown;
pub mod telemetry;
pub mod token_keys;
pub mod traces;
pub mod worker;
