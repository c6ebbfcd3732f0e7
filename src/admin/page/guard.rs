//! Decides who may see the page, and tells browsers what they may do with it.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::config::AdminConfig;

/// The headers of every response. Browsers load nothing from other sites, show the page in no frame
/// and keep no copy. They send a referrer to our own pages only; without one they would not name
/// the origin of our own forms.
const HEADERS: [(header::HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'",
    ),
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        header::HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// The condition for seeing the page.
pub(super) enum PageAccess {
    /// The request has `ADMIN_TOKEN` as its password.
    Token(SecretString),
    /// The request comes from this machine.
    Local,
}

impl PageAccess {
    /// `None` if the page is not served at all.
    pub(super) fn of(config: &AdminConfig) -> Option<Self> {
        match &config.token {
            Some(token) => Some(Self::Token(token.clone())),
            None => config.addr.ip().is_loopback().then_some(Self::Local),
        }
    }

    /// The response to a request that may not see the page.
    fn refusal(&self, request: &Request) -> Option<Response> {
        match self {
            Self::Token(token) if has_password(token, request.headers()) => None,
            Self::Token(_) => {
                if request.headers().contains_key(header::AUTHORIZATION) {
                    tracing::warn!("a request for the operator's page had a wrong token");
                }
                let realm = "Basic realm=\"Pigeonhole\", charset=\"UTF-8\"";
                let text = "the password is ADMIN_TOKEN; the user name can be anything\n";
                let headers = [(header::WWW_AUTHENTICATE, realm)];
                Some((StatusCode::UNAUTHORIZED, headers, text).into_response())
            }
            // DNS rebinding: a foreign host name that resolves to this machine stands in the
            // request.
            Self::Local if is_local(request) => None,
            Self::Local => {
                let text = "the operator's page is only for this machine: open it as localhost, or set ADMIN_TOKEN\n";
                Some((StatusCode::MISDIRECTED_REQUEST, text).into_response())
            }
        }
    }
}

/// Checks every request, and adds [`HEADERS`] to every response.
pub(super) async fn guard(
    State(access): State<Arc<PageAccess>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match access.refusal(&request) {
        None => next.run(request).await,
        Some(refusal) => refusal,
    };
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether the password of this request is the token.
fn has_password(token: &SecretString, headers: &HeaderMap) -> bool {
    let given = || {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, credentials) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let credentials = BASE64_STANDARD.decode(credentials.trim()).ok()?;
        let colon = credentials.iter().position(|byte| *byte == b':')?;
        Some(credentials[colon + 1..].to_vec())
    };
    given().is_some_and(|given| token.expose_secret().as_bytes().ct_eq(&given).into())
}

/// The host and port in the `Host` header.
pub(super) fn authority(headers: &HeaderMap) -> Option<Authority> {
    let host = headers.get(header::HOST)?;
    Authority::try_from(host.as_bytes()).ok()
}

fn is_local(request: &Request) -> bool {
    let named = request.uri().authority().cloned();
    let Some(authority) = named.or_else(|| authority(request.headers())) else {
        return false;
    };
    let host = authority.host().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
