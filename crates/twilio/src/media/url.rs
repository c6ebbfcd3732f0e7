//! Decides which URLs may be fetched, and which of them get credentials.
//!
//! The first request carries our credentials. It goes only to the file's path under the API's base
//! URL, for the message that announces the file and for our account. The URL is compared byte for
//! byte, so that two URL parsers cannot disagree about it. Redirects carry no credentials and go
//! only to Twilio's file hosts.

use url::{Host, Url};

use super::error::Forbidden;
use crate::{AccountSid, MediaSid, MessageSid};

/// The hosts of Twilio's files.
const DOMAINS: [&str; 3] = ["twilio.com", "twiliocdn.com", "amazonaws.com"];

/// The longest URL. Twilio's URLs are shorter.
const MAX_LENGTH: usize = 8 * 1024;

/// Returns the file that this `MediaUrl` names, if it belongs to this message and to our account.
/// `base` is the API's base URL, without a final slash.
pub fn media_sid(
    base: &str,
    account: &AccountSid,
    message: &MessageSid,
    media_url: &str,
) -> Result<MediaSid, Forbidden> {
    let folder = folder(base, account, message);
    media_url
        .strip_prefix(&folder)
        .and_then(|name| name.parse().ok())
        .ok_or(Forbidden::Url)
}

/// The URL of a message's files, with a final slash.
pub(super) fn folder(base: &str, account: &AccountSid, message: &MessageSid) -> String {
    format!("{base}/2010-04-01/Accounts/{account}/Messages/{message}/Media/")
}

/// Returns the target of a redirect, if it is allowed: https on the default port, on a host of
/// Twilio's. `more` are further hosts, each with its port, that may also use http. Only tests set
/// them.
pub fn redirect(from: &Url, location: &str, more: &[String]) -> Result<Url, Forbidden> {
    if location.len() > MAX_LENGTH {
        return Err(Forbidden::Redirect);
    }
    let to = from.join(location).map_err(|_| Forbidden::Redirect)?;
    let known = match to.host() {
        Some(Host::Domain(name)) => DOMAINS.iter().any(|domain| {
            name.strip_suffix(domain)
                .is_some_and(|label| label.ends_with('.') && label.len() > 1)
        }),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => false,
    };
    // The parser drops a port that is the scheme's own.
    let usual = known && to.scheme() == "https" && to.port().is_none();
    let anonymous = to.username().is_empty() && to.password().is_none();
    if anonymous && (usual || is_one_of(&to, more)) {
        Ok(to)
    } else {
        Err(Forbidden::Redirect)
    }
}

fn is_one_of(url: &Url, more: &[String]) -> bool {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return false;
    };
    matches!(url.scheme(), "http" | "https") && more.contains(&format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "https://api.twilio.com";
    const DIGITS: &str = "0123456789abcdefABCDEF0123456789";

    fn ours(url: &str) -> Result<MediaSid, Forbidden> {
        let account = format!("AC{DIGITS}").parse().expect("a SID");
        let message = format!("MM{DIGITS}").parse().expect("a SID");
        media_sid(BASE, &account, &message, url)
    }

    #[test]
    fn a_file_of_the_message_itself_may_be_fetched() {
        let url =
            format!("{BASE}/2010-04-01/Accounts/AC{DIGITS}/Messages/MM{DIGITS}/Media/ME{DIGITS}");
        assert_eq!(ours(&url).expect("ours").as_str(), format!("ME{DIGITS}"));
    }

    #[test]
    fn a_redirect_may_go_to_the_hosts_of_twilios_files() {
        let from: Url = BASE.parse().expect("a URL");
        for location in [
            "https://mms.twiliocdn.com/AC1/x?Expires=1&Signature=a~b",
            "https://MMS.TwilioCDN.com/x",
            "https://media.twiliocdn.com:443/x",
            "https://s3-external-1.amazonaws.com/media.twiliocdn.com/AC1/x",
            "https://bucket.s3.eu-west-1.amazonaws.com/x",
            "//mms.twiliocdn.com/x",
            "/relative",
        ] {
            assert!(redirect(&from, location, &[]).is_ok(), "{location}");
        }
    }

    #[test]
    fn a_further_host_is_allowed_only_with_its_port() {
        let from: Url = BASE.parse().expect("a URL");
        let more = ["127.0.0.1:4000".to_owned()];
        let allowed = |location: &str| redirect(&from, location, &more).is_ok();
        assert!(allowed("http://127.0.0.1:4000/x"));
        assert!(!allowed("http://127.0.0.1:4001/x"));
        assert!(!allowed("http://u@127.0.0.1:4000/x"));
        assert!(!allowed("ftp://127.0.0.1:4000/x"));
    }
}
