//! Splits a URL without changing a byte, and lists the forms under which Twilio may have signed it.
//!
//! It never normalises: the signature covers the configured bytes, including case and escapes. That
//! is why it uses no URL library.

use std::borrow::Cow;
use std::fmt;

/// The URL up to its fragment. Connection overrides (`#rc=3&rp=all`) are instructions to Twilio and
/// are not signed. See Twilio docs, [connection
/// overrides](https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides).
pub(crate) fn without_fragment(url: &str) -> &str {
    url.split_once('#').map_or(url, |(url, _)| url)
}

/// The parts of a URL. `Display` joins them to the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SignedUrl<'a> {
    pub(crate) scheme: &'a str,
    pub(crate) userinfo: Option<&'a str>,
    /// An IPv6 address keeps its brackets.
    pub(crate) host: &'a str,
    pub(crate) port: Option<&'a str>,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
}

impl<'a> SignedUrl<'a> {
    /// `None` if there is no `scheme://host`.
    pub(crate) fn split(url: &'a str) -> Option<Self> {
        let (scheme, rest) = without_fragment(url).split_once("://")?;
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (userinfo, host) = match authority.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo), host),
            None => (None, authority),
        };
        let (host, port) = split_port(host);
        let (path, query) = split_query(target);
        (!host.is_empty()).then_some(Self {
            scheme,
            userinfo,
            host,
            port,
            path,
            query,
        })
    }

    /// Returns all forms except the URL itself: at most two user infos times two ports times three
    /// queries.
    pub(crate) fn other_forms(&self) -> Vec<String> {
        let port = match self.port {
            Some(_) => None,
            None => default_port(self.scheme),
        };
        let mut forms = Vec::new();
        for userinfo in different(self.userinfo, None) {
            for port in different(self.port, port) {
                for query in quotings(self.query) {
                    forms.push(
                        SignedUrl {
                            userinfo,
                            port,
                            query: query.as_deref(),
                            ..*self
                        }
                        .to_string(),
                    );
                }
            }
        }
        forms.remove(0);
        forms
    }
}

impl fmt::Display for SignedUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if let Some(userinfo) = self.userinfo {
            write!(f, "{userinfo}@")?;
        }
        f.write_str(self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(self.path)?;
        if let Some(query) = self.query {
            write!(f, "?{query}")?;
        }
        Ok(())
    }
}

/// `host:port`, `[v6]:port` or either alone. Colons inside the brackets belong to the address.
pub(crate) fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, Some(port)),
        _ => (host, None),
    }
}

/// `path?query`.
pub(crate) fn split_query(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

fn default_port(scheme: &str) -> Option<&'static str> {
    if scheme.eq_ignore_ascii_case("https") {
        Some("443")
    } else if scheme.eq_ignore_ascii_case("http") {
        Some("80")
    } else {
        None
    }
}

fn different<T: PartialEq>(first: T, second: T) -> impl Iterator<Item = T> {
    let second = (first != second).then_some(second);
    std::iter::once(first).chain(second)
}

/// An older Twilio library escapes the quote in a query, and newer ones do not.
fn quotings(query: Option<&str>) -> Vec<Option<Cow<'_, str>>> {
    let mut all = vec![query.map(Cow::Borrowed)];
    if let Some(query) = query {
        if query.contains('\'') {
            all.push(Some(query.replace('\'', "%27").into()));
        }
        if query.contains("%27") {
            all.push(Some(query.replace("%27", "'").into()));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_splits_and_joins_to_the_same_bytes() {
        for url in [
            "https://Example.com",
            "https://example.com/",
            "https://example.com:/a",
            "https://user:p@ss@example.com:8443/a//b/%2F?x=1&y='#rc=3",
            "http://[::1]:8080?q",
            "http://[2001:db8::1]/path",
            "HTTPS://example.com/?",
        ] {
            let parts = SignedUrl::split(url).expect("a URL");
            assert_eq!(parts.to_string(), without_fragment(url));
        }
    }

    #[test]
    fn an_ipv6_address_keeps_its_colons_and_a_password_its_own() {
        let v6 = SignedUrl::split("https://[::1]:8443/a").expect("a URL");
        assert_eq!((v6.host, v6.port), ("[::1]", Some("8443")));
        let bare = SignedUrl::split("https://[::1]/a").expect("a URL");
        assert_eq!((bare.host, bare.port), ("[::1]", None));
        let user = SignedUrl::split("https://user:pass@h:8443/a").expect("a URL");
        assert_eq!(
            (user.userinfo, user.host, user.port),
            (Some("user:pass"), "h", Some("8443"))
        );
    }

    #[test]
    fn the_other_forms_are_exactly_those_allowed() {
        let forms = |url| SignedUrl::split(url).expect("a URL").other_forms();
        assert_eq!(forms("https://h/a"), ["https://h:443/a"]);
        assert_eq!(forms("http://h/a"), ["http://h:80/a"]);
        assert_eq!(forms("https://h:8443/a"), ["https://h/a"]);
        assert_eq!(
            forms("https://u@h/a"),
            ["https://u@h:443/a", "https://h/a", "https://h:443/a"]
        );
        assert_eq!(
            forms("https://h:1/it's?it's"),
            [
                "https://h:1/it's?it%27s",
                "https://h/it's?it's",
                "https://h/it's?it%27s"
            ]
        );
        assert_eq!(forms("https://u@h/?a='&b=%27").len(), 11);
    }

    #[test]
    fn a_text_that_is_not_a_url_has_no_parts() {
        for url in [
            "",
            "/path",
            "https:",
            "https://",
            "https:///a",
            "https://user@/a",
        ] {
            assert_eq!(SignedUrl::split(url), None, "{url}");
        }
    }
}
