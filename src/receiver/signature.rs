//! Checks that the request is from Twilio. For a wrong signature, looks for the usual mistake that
//! explains it.

use axum::http::{header, request::Parts};
use twilio::{
    diagnosis::{RefusedRequest, diagnose},
    signature::{AuthTokens, AuthTokensError, Body, HEADER, Validator},
};

use super::error::ReceiverError;
use crate::config::ReceiverConfig;

/// Checks signatures against the configured public URL. The request's own `Host` and
/// `X-Forwarded-*` headers do not count: every client can write them.
pub(super) struct SignatureCheck {
    base_url: String,
    validator: Validator,
    retired: Option<Validator>,
}

impl SignatureCheck {
    pub(super) fn new(config: &ReceiverConfig) -> Result<Self, AuthTokensError> {
        let retired = match config.twilio.retired_tokens.as_slice() {
            [] => None,
            tokens => Some(Validator::new(&AuthTokens::new(tokens.to_vec())?)),
        };
        Ok(Self {
            base_url: config.public_base_url.clone(),
            validator: Validator::new(&AuthTokens::new(config.twilio.auth_tokens.clone())?),
            retired,
        })
    }

    /// Refuses a request that is not signed with one of our tokens for the URL at which Twilio
    /// reaches us.
    pub(super) fn check(
        &self,
        head: &Parts,
        parameters: &[(String, String)],
    ) -> Result<(), ReceiverError> {
        let Some(signature) = head.headers.get(HEADER) else {
            return Err(ReceiverError::SignatureMissing);
        };
        // The raw request target: Twilio signs the path and the query before any normalisation.
        let target = head
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let url = format!("{}{target}", self.base_url);
        let body = Body::Form(parameters);
        self.validator
            .check(&url, body, signature.as_bytes())
            .map_err(|invalid| {
                let refused = RefusedRequest {
                    url: &url,
                    body,
                    signature: signature.as_bytes(),
                    host: head
                        .headers
                        .get(header::HOST)
                        .and_then(|host| host.to_str().ok()),
                    target: Some(target),
                };
                let mistake = diagnose(&self.validator, self.retired.as_ref(), &refused);
                ReceiverError::Signature { invalid, mistake }
            })
    }
}
