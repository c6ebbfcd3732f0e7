//! The requests themselves: a text message as Twilio sends it, signed.

use std::time::Duration;

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::Options;

/// Makes requests by their number. The same seed makes the same requests.
pub(crate) struct WebhookFactory {
    key: Hmac<Sha1>,
    seed: u64,
    public_url: String,
    /// The request line and the headers that all requests share.
    head: String,
    account_sid: String,
    to: String,
    first_sender: u64,
    senders: u64,
}

impl WebhookFactory {
    pub(crate) fn new(options: &Options, clock: Duration) -> anyhow::Result<Self> {
        let address = options.public_url.split_once("://");
        let (_, address) = address.context("--public-url has no scheme")?;
        let (host, path) = address.split_once('/').unwrap_or((address, ""));
        let head = format!(
            "POST /{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: TwilioProxy/1.1\r\nAccept: */*\r\n\
             Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n"
        );
        #[expect(clippy::cast_possible_truncation, reason = "any bits make a seed")]
        let seed = options.seed.unwrap_or(clock.as_nanos() as u64);
        Ok(Self {
            key: Hmac::new_from_slice(options.token.as_bytes())?,
            seed,
            public_url: options.public_url.clone(),
            head,
            account_sid: options.account_sid.clone(),
            to: options.to.clone(),
            first_sender: options.first_sender,
            senders: options.senders,
        })
    }

    /// The `MessageSid` of a request.
    pub(crate) fn sid(&self, index: u64) -> String {
        let (high, low) = (self.seed ^ index, self.seed.rotate_left(32) ^ !index);
        format!("SM{:016x}{:016x}", scramble(high), scramble(low))
    }

    /// The bytes of a request.
    pub(crate) fn request(&self, index: u64) -> String {
        let sid = self.sid(index);
        let from = format!("+{}", self.first_sender + index % self.senders);
        let text = format!("Had coffee with Ada {index} #friend");
        // In the order of their names, as the signature needs them.
        let parameters: [(&str, &str); 20] = [
            ("AccountSid", &self.account_sid),
            ("ApiVersion", "2010-04-01"),
            ("Body", &text),
            ("From", &from),
            ("FromCity", "SAN FRANCISCO"),
            ("FromCountry", "US"),
            ("FromState", "CA"),
            ("FromZip", "94107"),
            ("MessageSid", &sid),
            ("NumMedia", "0"),
            ("NumSegments", "1"),
            ("ReferralNumMedia", "0"),
            ("SmsMessageSid", &sid),
            ("SmsSid", &sid),
            ("SmsStatus", "received"),
            ("To", &self.to),
            ("ToCity", ""),
            ("ToCountry", "US"),
            ("ToState", "CA"),
            ("ToZip", ""),
        ];
        let mut mac = self.key.clone();
        mac.update(self.public_url.as_bytes());
        for (name, value) in parameters {
            mac.update(name.as_bytes());
            mac.update(value.as_bytes());
        }
        let form = form_urlencoded::Serializer::new(String::with_capacity(640))
            .extend_pairs(parameters)
            .finish();
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        format!(
            "{}X-Twilio-Signature: {signature}\r\nI-Twilio-Idempotency-Token: {}\r\n\
             Content-Length: {}\r\n\r\n{form}",
            self.head,
            &sid[2..],
            form.len()
        )
    }
}

/// Spreads the bits of a number, so that neighbours look unlike (the finalizer of `SplitMix64`).
fn scramble(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
