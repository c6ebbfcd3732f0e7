//! The files that messages bring: fetched over HTTP from a fake Twilio and a fake host of its files, kept in a real
//! folder, known to a real Postgres.

mod fetching;
pub(crate) mod harness;
mod hostile;
mod keeping;
mod kinds;
mod operator;
mod upkeep;
