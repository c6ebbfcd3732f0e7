//! Starts a private Postgres server with the server binaries that the machine has. `pigeonhole dev`
//! keeps the server's data; tests delete it.
//!
//! The server listens on a Unix socket only, so it needs no port. It stops when the process that
//! started it ends, even by `kill -9`. See `docs/decisions/0001-embedded-postgres.md`.

mod account;
mod address;
mod binaries;
mod error;
mod kept;
mod lock;
mod log;
mod migrations;
mod postmaster;
mod server;
mod settings;
mod standby;
mod supervisor;
mod temporary_directory;
pub mod testing;
mod wait;

pub use crate::{
    error::{StartError, StopError},
    migrations::apply_migrations,
    server::PostgresServer,
    settings::PostgresSettings,
};
