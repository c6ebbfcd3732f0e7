//! A private Postgres server, from whatever server binaries the machine has: for `pigeonhole dev`,
//! whose data is kept, and for tests, whose data is not.
//!
//! It listens on a Unix socket only, so it clashes with nothing, and it ends with the process that
//! started it, however that one ends. See `docs/decisions/0001-embedded-postgres.md`.

mod account;
mod address;
mod binaries;
mod error;
mod kept;
mod lock;
mod log;
mod postmaster;
mod scratch;
mod server;
mod settings;
mod supervisor;
pub mod testing;
mod wait;

pub use crate::{
    error::{StartError, StopError},
    server::PostgresServer,
    settings::PostgresSettings,
};
