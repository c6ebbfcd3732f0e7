//! Webhooks built byte by byte, for requests that the simulated Twilio never sends.

use std::net::SocketAddr;

use reqwest::{Client, RequestBuilder, header};
use twilio::signature;
use url::form_urlencoded;

use crate::settings::WEBHOOK;

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// A client that follows no redirects and uses no proxy.
pub(crate) fn client() -> Client {
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(std::time::Duration::from_secs(15))
        .build()
        .unwrap()
}

/// Encodes the parameters as a form.
pub(crate) fn encode(parameters: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish()
}

/// A webhook with this signature and body.
pub(crate) fn webhook(
    receiver: SocketAddr,
    signature: &str,
    body: impl Into<reqwest::Body>,
) -> RequestBuilder {
    client()
        .post(format!("http://{receiver}{WEBHOOK}"))
        .header(signature::HEADER, signature)
        .header(header::CONTENT_TYPE, FORM)
        .body(body)
}
