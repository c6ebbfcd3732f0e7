//! The settings of the receiver.

use std::net::SocketAddr;

use super::{
    parse::{http_url, on_off, socket_addr},
    reader::Reader,
    twilio_account::TwilioConfig,
};

/// The receiver.
#[derive(Debug, Clone)]
pub struct ReceiverConfig {
    /// `LISTEN_ADDR`.
    pub listen: SocketAddr,
    /// `PUBLIC_BASE_URL` as it is written, without a slash or fragment at its end. Signatures cover
    /// its exact text, so it must not go through a URL parser.
    pub public_base_url: String,
    /// The account at Twilio.
    pub twilio: TwilioConfig,
    /// `RECOVERY`: ask for a look for lost messages after an outage.
    pub recovery: bool,
}

impl ReceiverConfig {
    /// Reads the settings.
    pub fn read(r: &mut Reader<'_>) -> Option<Self> {
        let listen = r.required("LISTEN_ADDR", socket_addr);
        let public_base_url = public_base_url(r);
        let twilio = TwilioConfig::read(r);
        let recovery = r.required("RECOVERY", on_off);
        Some(Self {
            listen: listen?,
            public_base_url: public_base_url?,
            twilio: twilio?,
            recovery: recovery?,
        })
    }
}

/// `PUBLIC_BASE_URL` without a slash or fragment at its end.
pub(super) fn public_base_url(r: &mut Reader<'_>) -> Option<String> {
    r.required("PUBLIC_BASE_URL", |text| {
        let base = text.split('#').next().unwrap_or(text).trim_end_matches('/');
        let url = http_url(base)?;
        if url.query().is_some() {
            return Err("must have no query: the path of the webhook is appended to it".to_owned());
        }
        Ok(base.to_owned())
    })
}
