//! The errors of the simulator.

use std::{io, net::SocketAddr};

/// Why an operation of the simulator failed.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The address is in use, or is not ours.
    #[error("the simulated Twilio cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The HTTP client could not be made.
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
    /// The receiver did not answer a webhook.
    #[error("no answer from {url}")]
    NoAnswer {
        /// Where the webhook was posted.
        url: String,
        /// What the client reported.
        source: reqwest::Error,
    },
    /// The simulated Twilio was told to lose webhooks. It lists the message.
    #[error("the simulated Twilio lost the webhook of {message_sid}, as it was told to")]
    WebhookLost {
        /// The message's SID.
        message_sid: String,
    },
    /// What answers is not the simulated Twilio, or it is not on this machine.
    #[error("there is no simulated Twilio at this address")]
    NotSimulated,
    /// The receiver's answer broke off.
    #[error("the answer ended early")]
    AnswerEndedEarly(#[source] reqwest::Error),
}
