//! Finds the usual mistake behind a wrong signature, for the log.
//!
//! It never makes a request valid: it runs after the request was refused, and only the operator
//! sees its result. Anyone can trigger it, so its work is bounded. Callers should also limit how
//! often they call it.

use std::fmt;

use crate::signature::{Body, SignatureClaim, Validator};
use crate::signed_url::{SignedUrl, split_port, split_query, without_fragment};

/// Requests with more bytes of URL and parameters are not diagnosed. An ordinary webhook has about
/// one thousand.
const MAX_BYTES: usize = 16 * 1024;

/// The longest possible host name, with a port.
const MAX_HOST_BYTES: usize = 260;

/// Ports that a webhook URL often lacks or has by mistake.
const USUAL_PORTS: [&str; 4] = ["443", "80", "8443", "8080"];

/// A request whose signature was wrong, with the parts of it that a mistake may concern.
#[derive(Clone, Copy)]
pub struct RefusedRequest<'a> {
    /// The URL that the signature was checked against.
    pub url: &'a str,
    /// The body, as it was checked.
    pub body: Body<'a>,
    /// The value of the signature header.
    pub signature: &'a [u8],
    /// The `Host` header.
    pub host: Option<&'a str>,
    /// The request target as received: path and query.
    pub target: Option<&'a str>,
}

/// A mistake that explains the wrong signature: without the mistake, the signature is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// Twilio has `http://` where we have `https://`.
    HttpForHttps,
    /// Twilio has `https://` where we have `http://`.
    HttpsForHttp,
    /// Twilio has another port than we have.
    Port,
    /// Twilio has a slash at the end of the path and we have none.
    SlashMissing,
    /// We have a slash at the end of the path and Twilio has none.
    SlashExtra,
    /// Twilio has the host that the request names, and we have another.
    Host,
    /// Twilio has the path and query that the request names, and we have others.
    Path,
    /// Twilio has a query that we have not, or another one.
    QueryMissing,
    /// We have a query and Twilio has none.
    QueryExtra,
    /// The URL is right and the token is one that we no longer accept.
    RetiredToken,
}

impl Mistake {
    /// All mistakes.
    pub const ALL: [Self; 10] = [
        Self::HttpForHttps,
        Self::HttpsForHttp,
        Self::Port,
        Self::SlashMissing,
        Self::SlashExtra,
        Self::Host,
        Self::Path,
        Self::QueryMissing,
        Self::QueryExtra,
        Self::RetiredToken,
    ];

    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::HttpForHttps => "http_for_https",
            Self::HttpsForHttp => "https_for_http",
            Self::Port => "port",
            Self::SlashMissing => "slash_missing",
            Self::SlashExtra => "slash_extra",
            Self::Host => "host",
            Self::Path => "path",
            Self::QueryMissing => "query_missing",
            Self::QueryExtra => "query_extra",
            Self::RetiredToken => "retired_token",
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HttpForHttps => {
                "the webhook URL at Twilio says http:// but PUBLIC_BASE_URL says https://: make \
                 them equal"
            }
            Self::HttpsForHttp => {
                "the webhook URL at Twilio says https:// but PUBLIC_BASE_URL says http://: make \
                 them equal"
            }
            Self::Port => {
                "the webhook URL at Twilio and PUBLIC_BASE_URL differ in their port: make them \
                 equal"
            }
            Self::SlashMissing => {
                "the webhook URL at Twilio ends its path with a slash and ours does not: take \
                 it away at Twilio"
            }
            Self::SlashExtra => {
                "our URL ends its path with a slash and the webhook URL at Twilio does not: add \
                 it at Twilio"
            }
            Self::Host => {
                "the webhook URL at Twilio has the host of the request's Host header but \
                 PUBLIC_BASE_URL has another: make them equal, letter for letter"
            }
            Self::Path => {
                "the webhook URL at Twilio has the path of the request but PUBLIC_BASE_URL \
                 leads to another: make them equal, or stop the proxy from rewriting paths"
            }
            Self::QueryMissing => {
                "the webhook URL at Twilio has a query string that we did not check: take it \
                 away at Twilio, or stop the proxy from dropping it"
            }
            Self::QueryExtra => {
                "our URL has a query string that the webhook URL at Twilio has not: add it at \
                 Twilio, or stop the proxy from adding it"
            }
            Self::RetiredToken => {
                "Twilio signs with an auth token listed in TWILIO_AUTH_TOKENS_RETIRED: promote \
                 the new token at Twilio, or accept this one again"
            }
        })
    }
}

/// Returns the single mistake that explains why this request was refused. `None` if there is none:
/// the request is not from Twilio, the token is wrong, a parameter was changed, or there are two
/// mistakes.
///
/// `retired` holds the known tokens that are no longer accepted.
pub fn diagnose(
    validator: &Validator,
    retired: Option<&Validator>,
    refused: &RefusedRequest<'_>,
) -> Option<Mistake> {
    let claim = SignatureClaim::new(refused.body, refused.signature).ok()?;
    let target = refused.target.map_or(0, str::len);
    if refused.url.len() + target + claim.len() > MAX_BYTES {
        return None;
    }
    let url = without_fragment(refused.url);
    if retired.is_some_and(|retired| retired.any_form_signed(url, &claim)) {
        return Some(Mistake::RetiredToken);
    }
    candidates(&SignedUrl::split(url)?, refused)
        .into_iter()
        .find(|(_, url)| validator.any_form_signed(url, &claim))
        .map(|(mistake, _)| mistake)
}

/// Returns at most ten URLs, each without one mistake.
fn candidates(url: &SignedUrl<'_>, refused: &RefusedRequest<'_>) -> Vec<(Mistake, String)> {
    let mut list = vec![if url.scheme.eq_ignore_ascii_case("https") {
        (
            Mistake::HttpForHttps,
            SignedUrl {
                scheme: "http",
                ..*url
            }
            .to_string(),
        )
    } else {
        (
            Mistake::HttpsForHttp,
            SignedUrl {
                scheme: "https",
                ..*url
            }
            .to_string(),
        )
    }];

    let slashed = format!("{}/", url.path);
    let (mistake, path) = url
        .path
        .strip_suffix('/')
        .map_or((Mistake::SlashMissing, slashed.as_str()), |path| {
            (Mistake::SlashExtra, path)
        });
    list.push((mistake, SignedUrl { path, ..*url }.to_string()));

    if url.query.is_some() {
        list.push((
            Mistake::QueryExtra,
            SignedUrl {
                query: None,
                ..*url
            }
            .to_string(),
        ));
    }
    if let Some((path, query)) = refused
        .target
        .filter(|t| t.starts_with('/'))
        .map(split_query)
    {
        if query.is_some() && query != url.query {
            list.push((
                Mistake::QueryMissing,
                SignedUrl { query, ..*url }.to_string(),
            ));
        }
        if path != url.path {
            list.push((
                Mistake::Path,
                SignedUrl {
                    path,
                    query,
                    ..*url
                }
                .to_string(),
            ));
        }
    }

    if let Some((host, port)) = refused.host.filter(|h| is_host(h)).map(split_port) {
        let mistake = if host.eq_ignore_ascii_case(url.host) && port != url.port {
            Mistake::Port
        } else {
            Mistake::Host
        };
        list.push((mistake, SignedUrl { host, port, ..*url }.to_string()));
    }
    for port in USUAL_PORTS.map(Some) {
        if port != url.port {
            list.push((Mistake::Port, SignedUrl { port, ..*url }.to_string()));
        }
    }
    list
}

/// The `Host` header is untrusted: it must not contain characters that start another part of a URL.
fn is_host(host: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
    !host.is_empty() && host.len() <= MAX_HOST_BYTES && host.bytes().all(plain)
}
