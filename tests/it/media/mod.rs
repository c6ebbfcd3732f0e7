//! The media files of messages: downloaded over HTTP from a fake Twilio and a fake file host,
//! stored in a real folder and a real Postgres.

mod fetching;
pub(crate) mod file_server;
pub(crate) mod harness;
mod hostile;
mod keeping;
mod kinds;
mod operator;
mod store_away;
mod upkeep;
