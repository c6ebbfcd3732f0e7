//! The promises of the queue, each tested through the public API against a real Postgres.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests may, and so may what they share"
)]

mod completing;
mod enqueueing;
mod failing;
mod harness;
mod holding;
mod lanes;
mod leases;
mod order;
mod outages;
mod pausing;
mod pool;
mod processes;
mod schedules;
mod script;
mod stopping;
mod testing;
mod upkeep;
mod waking;
mod watchdog;
mod way;
