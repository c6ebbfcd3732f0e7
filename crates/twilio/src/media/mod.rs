//! Media files: which URLs may be fetched, how to fetch them, and what kind of file they are.
//!
//! A webhook's `MediaUrl` is untrusted. We send requests only to Twilio, and credentials only to
//! its API. [`url`] decides which URLs are allowed, [`Downloader`] fetches them with limits, and
//! [`kind`] determines a file's kind from its first bytes.
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

pub use download::{Download, Downloader, DownloaderSettings};
pub use error::{Forbidden, MediaError, MediaUnavailable};
pub use image::{MAX_PIXELS, dimensions};
