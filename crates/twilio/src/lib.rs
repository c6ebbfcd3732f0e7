//! What we know of Twilio: how it signs, what its webhooks hold, what it takes for an answer.
//!
//! Pure functions and types. This crate opens no socket, reads no environment and knows no
//! database; nothing in it may print a message body, a phone number or a token.
//!
//! The order in which the receiver uses it: [`form::parse`] the body,
//! [`signature::Validator::check`] it, make an [`InboundWebhook`] of it, answer with [`twiml`].

mod address;
mod auth_tokens;
pub mod diagnosis;
pub mod form;
mod media_item;
mod payload;
mod sid;
pub mod signature;
mod signed_url;
pub mod twiml;
pub mod webhook;

pub use address::{Address, AddressError, AddressKind};
pub use sid::{AccountSid, MessageSid, SidError};
pub use webhook::{InboundWebhook, PayloadError};
