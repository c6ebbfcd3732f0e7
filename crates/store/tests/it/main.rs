//! Tests on a real Postgres, a database each.

#![expect(clippy::unwrap_used, reason = "a test's helper fails its test")]

mod enrichment_items;
mod inbound_messages;
mod legacy_rows;
mod migrations;
mod refused_tables;
mod support;
mod user_phone_numbers;
mod users;
