//! The protocol of Twilio: signatures, the parameters of webhooks, the answers to them, and the
//! REST API.
//!
//! This crate reads no environment and knows no database. It never prints a message body, a phone
//! number or a token. It consists of pure functions and types, except [`rest::Client`] and
//! [`media::Downloader`], which open sockets.
//!
//! The order in which the receiver uses it: [`form::parse`] the body,
//! [`signature::Validator::check`] it, make an [`InboundWebhook`] of it, answer with [`twiml`]. The
//! status of a message that we sent arrives the same way, as a [`status::StatusCallback`].

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
