//! Whom a request comes from, for limits to count by.
//!
//! Whoever sends a request writes its `X-Forwarded-For`, so it is believed only as far as proxies of ours wrote it: read
//! from the right, where each proxy appends whom it heard the request from.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};
use ipnet::{IpNet, Ipv6Net};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address nearest to us that is no proxy of ours.
pub(super) fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |ip: &IpAddr| trusted.iter().any(|net| net.contains(ip));
    let mut client = peer.to_canonical();
    let lines: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
    for line in lines.into_iter().rev() {
        let Ok(line) = line.to_str() else {
            return client;
        };
        for hop in line.rsplit(',') {
            if !is_trusted(&client) {
                return client;
            }
            match address(hop.trim()) {
                Some(ip) => client = ip,
                None => return client, // whatever stands further left, nobody of ours vouches for
            }
        }
    }
    client
}

/// What limits count by: whoever has one IPv6 address has its whole /64.
pub(super) fn limit_key(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => format!("ip:{ip}"),
        IpAddr::V6(ip) => match Ipv6Net::new(ip, 64) {
            Ok(net) => format!("ip:{}", net.trunc()),
            Err(_) => format!("ip:{ip}"), // 64 is a length that a prefix can have
        },
    }
}

/// An address, with or without brackets and port: proxies differ.
fn address(hop: &str) -> Option<IpAddr> {
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || hop.parse::<SocketAddr>().ok().map(|addr| addr.ip());
    let ip: Option<IpAddr> = hop.parse().ok().or_else(bracketed).or_else(with_port);
    ip.map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(peer: &str, lines: &[&str]) -> String {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "2001:db8:ffff::/48"]
            .map(|net| net.parse().unwrap())
            .into();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        client_ip(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn without_a_trusted_proxy_nothing_that_the_request_says_counts() {
        assert_eq!(found("203.0.113.9", &[]), "203.0.113.9");
        assert_eq!(found("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(found("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn a_trusted_proxy_names_whom_it_heard_from_and_nobody_further_left_counts() {
        let forged = "1.1.1.1, 10.9.9.9, 198.51.100.1";
        assert_eq!(found("10.0.0.1", &[forged]), "198.51.100.1");
        // Through two proxies of ours, in one header or two.
        assert_eq!(
            found("10.0.0.1", &["1.1.1.1, 198.51.100.1, 10.0.0.2"]),
            "198.51.100.1"
        );
        assert_eq!(
            found("10.0.0.1", &["1.1.1.1, 198.51.100.1", "10.0.0.2"]),
            "198.51.100.1"
        );
        assert_eq!(
            found("2001:db8:ffff::1", &["2001:db8:1::5"]),
            "2001:db8:1::5"
        );
        // All of them ours: the furthest is the client.
        assert_eq!(found("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    }

    #[test]
    fn garbage_ends_the_walk_at_the_last_good_hop() {
        for garbage in ["", "unknown", "1.1.1", "1.1.1.1 2.2.2.2", "::g", "[::1"] {
            let line = format!("198.51.100.1, {garbage}, 10.0.0.2");
            assert_eq!(found("10.0.0.1", &[&line]), "10.0.0.2", "{garbage:?}");
            assert_eq!(found("10.0.0.1", &[garbage]), "10.0.0.1", "{garbage:?}");
        }
    }

    #[test]
    fn a_mapped_address_is_the_address_that_it_maps() {
        assert_eq!(found("::ffff:203.0.113.9", &[]), "203.0.113.9");
        assert_eq!(
            found("::ffff:10.0.0.1", &["::ffff:198.51.100.1"]),
            "198.51.100.1"
        );
        assert_eq!(found("10.0.0.1", &["198.51.100.1:4711"]), "198.51.100.1");
        for v6 in ["[2001:db8::1]:80", "[2001:db8::1]", "2001:db8::1"] {
            assert_eq!(found("10.0.0.1", &[v6]), "2001:db8::1");
        }
    }

    #[test]
    fn ipv6_counts_by_its_64_and_ipv4_by_itself() {
        let key = |ip: &str| limit_key(ip.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:0:0:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:203.0.113.9"), key("203.0.113.9"));
        assert_ne!(key("203.0.113.8"), key("203.0.113.9"));
    }
}
