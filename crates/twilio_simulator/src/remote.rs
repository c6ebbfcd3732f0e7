//! Asks the simulated Twilio of another process to take a text.

use serde::Deserialize;
use serde_json::json;
use url::{Host, Url};

use crate::{error::SimulatorError, http_client, inbound_text::InboundText};

/// Has the simulated Twilio at `api_base_url` take a text whose webhook fails. Returns its SID.
///
/// It sends nothing to a real Twilio: the address must be on this machine.
pub async fn take_lost_text(
    api_base_url: &Url,
    text: &InboundText,
) -> Result<String, SimulatorError> {
    #[derive(Deserialize)]
    struct Taken {
        sid: String,
    }
    if !is_on_this_machine(api_base_url) {
        return Err(SimulatorError::NotSimulated);
    }
    let url = format!(
        "{}/simulated/texts",
        api_base_url.as_str().trim_end_matches('/')
    );
    let body = json!({
        "from": text.from,
        "body": text.body,
        "media": text.media,
        "fields": text.fields,
        "lost": true,
    });
    let failed = |source| SimulatorError::NoAnswer {
        url: url.clone(),
        source,
    };
    let request = http_client::client()?.post(&url).body(body.to_string());
    let answer = request.send().await.map_err(failed)?;
    let body = answer.bytes().await.map_err(failed)?;
    let taken: Taken = serde_json::from_slice(&body).map_err(|_| SimulatorError::NotSimulated)?;
    Ok(taken.sid)
}

fn is_on_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_goes_to_this_machine_only() {
        for (url, expected) in [
            ("http://127.0.0.1:4000", true),
            ("http://localhost:4000/", true),
            ("http://[::1]:4000", true),
            ("https://api.twilio.com", false),
            ("http://localhost.example.com", false),
            ("http://10.0.0.1", false),
        ] {
            let url = url.parse().expect("a URL");
            assert_eq!(is_on_this_machine(&url), expected, "{url}");
        }
    }
}
