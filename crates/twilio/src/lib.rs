//! What we know of Twilio: how it signs, what its webhooks hold, what it takes for an answer, and
//! how to have it send a message.
//!
//! This crate reads no environment and knows no database; nothing in it may print a message body, a
//! phone number or a token. All is pure functions and types, but for [`rest::Client`] and
//! [`media::Downloader`], which alone open sockets.
//!
//! The order in which the receiver uses it: [`form::parse`] the body,
//! [`signature::Validator::check`] it, make an [`InboundWebhook`] of it, answer with [`twiml`]. What
//! became of a message that we sent comes the same way, as a [`status::StatusCallback`].

mod address;
mod auth_tokens;
pub mod diagnosis;
pub mod form;
mod keyword;
pub mod media;
mod media_item;
mod message_status;
pub mod metrics;
mod payload;
pub mod rest;
mod sid;
pub mod signature;
mod signed_url;
pub mod status;
pub mod twiml;
pub mod webhook;

pub use address::{Address, AddressError, AddressKind};
pub use keyword::Keyword;
pub use message_status::MessageStatus;
pub use sid::{AccountSid, MediaSid, MessageSid, PhoneNumberSid, SidError};
pub use webhook::{InboundWebhook, PayloadError};
