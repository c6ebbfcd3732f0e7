//! Protects the page's forms: a form counts only if a page of this process made it.

use axum::http::{HeaderMap, header};
use subtle::ConstantTimeEq;

use super::guard::authority;

/// A secret in our forms, which pages of other sites cannot read.
pub(super) struct FormToken(String);

impl FormToken {
    /// A token that is valid until this process ends.
    pub(super) fn random() -> Self {
        let (a, b): (u128, u128) = rand::random();
        Self(format!("{a:032x}{b:032x}"))
    }

    /// The text for a form's hidden field.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks that a page of ours sent this form. The error says why it did not.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        given: Option<&str>,
    ) -> Result<(), &'static str> {
        if !is_same_origin(headers) {
            tracing::warn!("a change was refused: the form came from another site");
            return Err("The form came from another site.");
        }
        let given = given.unwrap_or_default();
        if !bool::from(self.0.as_bytes().ct_eq(given.as_bytes())) {
            return Err(
                "The process has restarted since this page was loaded. Load the page again.",
            );
        }
        Ok(())
    }
}

/// Trusts what browsers say in their headers. Other programs may leave the headers out, but they
/// lack the token.
fn is_same_origin(headers: &HeaderMap) -> bool {
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
