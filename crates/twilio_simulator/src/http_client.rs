//! The HTTP client that plays Twilio's own.

use std::time::Duration;

use crate::error::SimulatorError;

/// Twilio's own limit for the answer to a webhook or callback.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Twilio's own limit for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that waits as long as Twilio does and follows no redirects.
pub(crate) fn client() -> Result<reqwest::Client, SimulatorError> {
    reqwest::Client::builder()
        .timeout(TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(SimulatorError::Client)
}
