//! Checks whether a request carries a signature that was made with our auth token.
//!
//! It accepts only an exact match, never stops early between tokens, and never panics on any input.
//!
//! Source of every rule: Twilio docs, [webhooks
//! security](https://www.twilio.com/docs/usage/webhooks/webhooks-security), and the request
//! validators of Twilio's helper libraries where the docs are silent.
//!
//! Twilio's scheme has two weaknesses. A signature has no timestamp, so a captured request can be
//! replayed for ever; TLS and the de-duplication by message SID protect us. Names and values are
//! joined without delimiters, so a captured request can be split into other parameters; only TLS
//! protects us.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

pub use crate::auth_tokens::{AuthTokens, AuthTokensError};
use crate::signed_url::{SignedUrl, without_fragment};

/// The request header that holds the signature.
pub const HEADER: &str = "X-Twilio-Signature";

/// The bytes of an HMAC-SHA1; 28 characters in Base64.
const MAC_BYTES: usize = 20;

/// The request's body. The `Content-Type` alone decides which form it has.
#[derive(Clone, Copy)]
pub enum Body<'a> {
    /// `application/x-www-form-urlencoded`: the decoded pairs. Empty for a GET, whose parameters
    /// are in its URL.
    Form(&'a [(String, String)]),
    /// Any other type: the raw bytes, whose SHA-256 the URL must hold as `bodySHA256`.
    Json(&'a [u8]),
}

/// Why a signature was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSignature {
    /// The header does not hold 20 bytes in standard Base64.
    #[error("the signature is not one that Twilio would write")]
    NotASignature,
    /// No token and no allowed form of the URL gives this signature.
    #[error("the signature matches no auth token")]
    Mismatch,
    /// The body is not a form, and the URL does not have exactly one `bodySHA256`.
    #[error("the URL has no bodySHA256 for a body that is not a form")]
    BodyHashMissing,
    /// The body is not the one whose hash was signed.
    #[error("the body does not match bodySHA256")]
    BodyHashMismatch,
}

impl InvalidSignature {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::NotASignature => "not_a_signature",
            Self::Mismatch => "mismatch",
            Self::BodyHashMissing => "body_hash_missing",
            Self::BodyHashMismatch => "body_hash_mismatch",
        }
    }
}

/// Checks signatures. Build it once, as that schedules the HMAC keys.
#[derive(Clone)]
pub struct Validator {
    keys: Vec<Hmac<Sha1>>,
}

impl Validator {
    /// Accepts requests that any of these tokens signed.
    pub fn new(tokens: &AuthTokens) -> Self {
        Self {
            keys: tokens
                .0
                .iter()
                .map(|token| key(token.expose_secret()))
                .collect(),
        }
    }

    /// Checks that the request is from Twilio. `url` is the public URL that is configured at
    /// Twilio, with its query; `signature` is the value of [`HEADER`].
    ///
    /// Twilio is not consistent about ports and quotes, so the URL is tried as it is, without its
    /// port, with its scheme's own port, with and without `user:password@`, and with `'` and `%27`
    /// exchanged in its query.
    pub fn check(
        &self,
        url: &str,
        body: Body<'_>,
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let url = without_fragment(url);
        let claim = SignatureClaim::new(body, signature)?;
        if let Body::Json(bytes) = body {
            check_body_hash(url, bytes)?;
        }
        if self.any_form_signed(url, &claim) {
            Ok(())
        } else {
            Err(InvalidSignature::Mismatch)
        }
    }

    /// Whether any allowed form of this URL, which has no fragment, gives the claimed signature.
    ///
    /// It stops at the first form that matches, so a valid request usually costs one HMAC per
    /// token. The time reveals which form matched, but only to a client that already has a valid
    /// signature. An invalid request always costs all forms and all tokens.
    pub(crate) fn any_form_signed(&self, url: &str, claim: &SignatureClaim) -> bool {
        self.signed(url, claim)
            || SignedUrl::split(url).is_some_and(|parts| {
                parts
                    .other_forms()
                    .iter()
                    .any(|form| self.signed(form, claim))
            })
    }

    fn signed(&self, url: &str, claim: &SignatureClaim) -> bool {
        let any = self.keys.iter().fold(Choice::from(0), |any, key| {
            any | mac(key, url, &claim.parameters).ct_eq(&claim.mac)
        });
        any.into()
    }
}

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Validator([sealed]; {})", self.keys.len())
    }
}

/// The claim of a request: its parameters in signing order, and the MAC over them and a URL.
pub(crate) struct SignatureClaim {
    parameters: String,
    mac: [u8; MAC_BYTES],
}

impl SignatureClaim {
    pub(crate) fn new(body: Body<'_>, signature: &[u8]) -> Result<Self, InvalidSignature> {
        let parameters = match body {
            Body::Form(pairs) => signing_order(pairs),
            Body::Json(_) => String::new(),
        };
        Ok(Self {
            parameters,
            mac: decode(signature).ok_or(InvalidSignature::NotASignature)?,
        })
    }

    /// The number of bytes to hash, without the URL.
    pub(crate) fn len(&self) -> usize {
        self.parameters.len()
    }
}

/// Signs as Twilio does, for the simulated Twilio and for tests. It ignores the fragment of `url`,
/// as Twilio does.
pub fn sign(token: &str, url: &str, parameters: &[(String, String)]) -> String {
    STANDARD.encode(mac(
        &key(token),
        without_fragment(url),
        &signing_order(parameters),
    ))
}

/// Sorts names bytewise, sorts and de-duplicates the values of a name, and joins all without
/// delimiters. It sorts the pairs and not the joined texts: `Reason` must come before
/// `ReasonConferenceEnded`.
fn signing_order(pairs: &[(String, String)]) -> String {
    let mut sorted: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    sorted.sort_unstable();
    sorted.dedup();
    let mut joined = String::with_capacity(sorted.iter().map(|(n, v)| n.len() + v.len()).sum());
    for (name, value) in sorted {
        joined.push_str(name);
        joined.push_str(value);
    }
    joined
}

fn key(token: &str) -> Hmac<Sha1> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    Hmac::<Sha1>::new_from_slice(token.as_bytes()).expect("a key of any length")
}

fn mac(key: &Hmac<Sha1>, url: &str, parameters: &str) -> [u8; MAC_BYTES] {
    let mut mac = key.clone();
    mac.update(url.as_bytes());
    mac.update(parameters.as_bytes());
    mac.finalize().into_bytes().into()
}

/// Decodes a signature. The decoder is strict about padding and unused bits, so each MAC has one
/// spelling. We decode the untrusted text rather than encode our MAC, so that no table look-up
/// depends on secret bytes.
fn decode(signature: &[u8]) -> Option<[u8; MAC_BYTES]> {
    // One byte longer than a MAC: the decoder needs room for three bytes per four characters.
    let mut decoded = [0; MAC_BYTES + 1];
    if signature.len() != 28 {
        return None;
    }
    let length = STANDARD.decode_slice(signature, &mut decoded).ok()?;
    decoded[..length].try_into().ok()
}

fn check_body_hash(url: &str, body: &[u8]) -> Result<(), InvalidSignature> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let mut claimed = query
        .split('&')
        .filter_map(|pair| pair.strip_prefix("bodySHA256="));
    let (Some(claimed), None) = (claimed.next(), claimed.next()) else {
        return Err(InvalidSignature::BodyHashMissing);
    };
    let mut hash = [0; 64];
    for (pair, byte) in hash.chunks_exact_mut(2).zip(Sha256::digest(body)) {
        pair.copy_from_slice(&[hex(byte >> 4), hex(byte & 15)]);
    }
    if bool::from(hash.ct_eq(claimed.as_bytes())) {
        Ok(())
    } else {
        Err(InvalidSignature::BodyHashMismatch)
    }
}

fn hex(nibble: u8) -> u8 {
    b"0123456789abcdef"[usize::from(nibble)]
}
