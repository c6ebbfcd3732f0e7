//! The queue's promises, each driven through the public API against a real Postgres.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests may, and so may what they share"
)]

mod completing;
mod failing;
mod harness;
mod leases;
mod order;
mod outages;
mod processes;
mod script;
mod stopping;
