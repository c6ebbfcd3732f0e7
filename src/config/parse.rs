//! Parses values. Each error tells what would be right.

use std::{net::SocketAddr, num::NonZeroU32};

use url::Url;

/// A switch.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

/// `on` or `off`.
pub(super) fn on_off(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err("must be on or off".to_owned()),
    }
}

/// A whole number above 0.
pub(super) fn positive(text: &str) -> Result<NonZeroU32, String> {
    text.parse()
        .map_err(|_| "must be a whole number above 0".to_owned())
}

/// An address to listen on.
pub(super) fn socket_addr(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "must be an IP address and a port, such as 127.0.0.1:3000".to_owned())
}

/// A URL of HTTP or HTTPS.
pub(super) fn http_url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err("must be a URL such as https://sms.example.com".to_owned()),
    }
}

/// A limit. 0 refuses everything, which is a way to stop all SMS.
pub(super) fn limit(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| "must be a whole number, 0 or more".to_owned())
}

/// Comma-separated values, each parsed. An error names the wrong entry by its position.
pub(super) fn list<T>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let parsed = text.split(',').enumerate().map(|(at, entry)| {
        parse(entry.trim()).map_err(|what| format!("is wrong at entry {}: {what}", at + 1))
    });
    parsed.collect()
}
