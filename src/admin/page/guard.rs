//! Who may see the page, whose forms count, and what browsers may do with the answers.

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

use super::PageError;
use crate::config::AdminConfig;

/// On every answer: nothing from elsewhere is loaded, nothing is framed, nothing is kept. The referrer stays, for our own
/// pages only: without one, browsers would not name the origin of our own forms.
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

/// What it takes to see the page.
pub(super) enum Access {
    /// To know `ADMIN_TOKEN`.
    Token(SecretString),
    /// To be on this machine.
    Local,
}

impl Access {
    /// `None` where nobody may.
    pub(super) fn of(config: &AdminConfig) -> Option<Self> {
        match &config.token {
            Some(token) => Some(Self::Token(token.clone())),
            None => config.addr.ip().is_loopback().then_some(Self::Local),
        }
    }

    /// The answer to who may not see it.
    fn refusal(&self, request: &Request) -> Option<Response> {
        match self {
            Self::Token(token) if knows(token, request.headers()) => None,
            Self::Token(_) => {
                if request.headers().contains_key(header::AUTHORIZATION) {
                    tracing::warn!("the operator's page was asked for with a wrong token");
                }
                let realm = "Basic realm=\"Pigeonhole\", charset=\"UTF-8\"";
                let answer = "ADMIN_TOKEN is the password; any name will do\n";
                let headers = [(header::WWW_AUTHENTICATE, realm)];
                Some((StatusCode::UNAUTHORIZED, headers, answer).into_response())
            }
            // A page elsewhere whose name was made to point to this machine says that name.
            Self::Local if is_local(request) => None,
            Self::Local => {
                let answer = "the operator's page is for this machine: ask for localhost, or set ADMIN_TOKEN\n";
                Some((StatusCode::MISDIRECTED_REQUEST, answer).into_response())
            }
        }
    }
}

/// Checks every request, and adds the headers to every answer.
pub(super) async fn guard(
    State(access): State<Arc<Access>>,
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

/// Is the token the password of this request?
fn knows(token: &SecretString, headers: &HeaderMap) -> bool {
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

/// The host and port that a request names.
fn authority(headers: &HeaderMap) -> Option<Authority> {
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

/// A secret in our forms, which nobody else's page can read.
pub(super) struct FormToken(String);

impl FormToken {
    /// As long as this process runs.
    pub(super) fn random() -> Self {
        let (a, b): (u128, u128) = rand::random();
        Self(format!("{a:032x}{b:032x}"))
    }

    /// For a form.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Was this form sent by a page of ours?
    pub(super) fn check(&self, headers: &HeaderMap, given: Option<&str>) -> Result<(), PageError> {
        if !is_from_here(headers) {
            tracing::warn!("a change was refused: the form came from another site");
            return Err(PageError::Refused("The form came from another site."));
        }
        let given = given.unwrap_or_default();
        if !bool::from(self.0.as_bytes().ct_eq(given.as_bytes())) {
            return Err(PageError::Refused(
                "The page was older than the process that serves it: load it again.",
            ));
        }
        Ok(())
    }
}

/// By what browsers say. Other programs need not say anything: what they lack is the token.
fn is_from_here(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    if site.is_some_and(|site| site != "same-origin") {
        return false;
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let origin = origin.to_str().ok();
    let origin = origin.and_then(|origin| origin.split_once("://"));
    match (origin, authority(headers)) {
        (Some((_, origin)), Some(ours)) => ours.as_str().eq_ignore_ascii_case(origin),
        (Some(_) | None, Some(_) | None) => false,
    }
}
