//! What operators read from the queue and do to it, on a real Postgres.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on can only fail")]

mod change;
mod connection;
mod harness;
mod look;
