//! Media files: which URLs may be fetched, fetching one, and what it turns out to be.
//!
//! A webhook's `MediaUrl` is a claim. It must never lead us anywhere but to Twilio, nor our
//! credentials anywhere but to its API: [`url`] says what may be asked for, [`Downloader`] asks for
//! it and bounds what comes, [`kind`] judges it by its first bytes.
//!
//! Source: Twilio docs, [media
//! resource](https://www.twilio.com/docs/messaging/api/media-resource).

mod address;
mod download;
mod error;
mod image;
pub mod kind;
mod resolver;
pub mod url;

pub use download::{Download, Downloader, Settings};
pub use error::{Forbidden, MediaError, Unavailable};
pub use image::{MAX_PIXELS, dimensions};
