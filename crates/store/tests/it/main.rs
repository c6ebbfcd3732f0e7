//! Tests on a real Postgres, a database each.

#![expect(clippy::unwrap_used, reason = "a test's helper fails its test")]

mod durability;
mod endings;
mod enrichment_items;
mod functions;
mod idempotency_keys;
mod inbound_messages;
mod legacy_rows;
mod limit_log;
mod migration_files;
mod migrations;
mod number_races;
mod opt_outs;
mod owners;
mod pending_verifications;
mod plans;
mod rate_limit;
mod recovery;
mod refused_tables;
mod replies;
mod reservations;
mod send_moves;
mod sends;
mod support;
mod user_phone_numbers;
mod users;
mod verification_codes;
