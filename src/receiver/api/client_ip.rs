//! The address of the client, which limits count by.
//!
//! Every client can write an `X-Forwarded-For` header. So only the part that trusted proxies wrote
//! counts: each proxy appends the address that it got the request from, so the header is read from
//! the right.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};
use ipnet::{IpNet, Ipv6Net};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address nearest to us that is not a trusted proxy.
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
                None => return client, // no trusted proxy wrote what is further left
            }
        }
    }
    client
}

/// The key that limits count by. An IPv6 address counts as its /64: a client that has one address
/// of it has them all.
pub(super) fn limit_key(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => format!("ip:{ip}"),
        IpAddr::V6(ip) => match Ipv6Net::new(ip, 64) {
            Ok(net) => format!("ip:{}", net.trunc()),
            Err(_) => format!("ip:{ip}"), // not reached: 64 is a valid prefix length
        },
    }
}

/// Parses an address with or without brackets and port: proxies write it differently.
fn address(hop: &str) -> Option<IpAddr> {
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || hop.parse::<SocketAddr>().ok().map(|addr| addr.ip());
    let ip: Option<IpAddr> = hop.parse().ok().or_else(bracketed).or_else(with_port);
    ip.map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client_of(peer: &str, lines: &[&str]) -> String {
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
    fn without_a_trusted_proxy_the_header_does_not_count() {
        assert_eq!(client_of("203.0.113.9", &[]), "203.0.113.9");
        assert_eq!(client_of("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(client_of("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn the_address_that_a_trusted_proxy_appended_counts_and_none_further_left() {
        let forged = "1.1.1.1, 10.9.9.9, 198.51.100.1";
        assert_eq!(client_of("10.0.0.1", &[forged]), "198.51.100.1");
        // Through two trusted proxies, in one header or two.
        assert_eq!(
            client_of("10.0.0.1", &["1.1.1.1, 198.51.100.1, 10.0.0.2"]),
            "198.51.100.1"
        );
        assert_eq!(
            client_of("10.0.0.1", &["1.1.1.1, 198.51.100.1", "10.0.0.2"]),
            "198.51.100.1"
        );
        assert_eq!(
            client_of("2001:db8:ffff::1", &["2001:db8:1::5"]),
            "2001:db8:1::5"
        );
        // All are trusted: the furthest is the client.
        assert_eq!(client_of("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    }

    #[test]
    fn an_invalid_hop_ends_the_search_at_the_last_valid_one() {
        for garbage in ["", "unknown", "1.1.1", "1.1.1.1 2.2.2.2", "::g", "[::1"] {
            let line = format!("198.51.100.1, {garbage}, 10.0.0.2");
            assert_eq!(client_of("10.0.0.1", &[&line]), "10.0.0.2", "{garbage:?}");
            assert_eq!(client_of("10.0.0.1", &[garbage]), "10.0.0.1", "{garbage:?}");
        }
    }

    #[test]
    fn an_ipv4_mapped_address_counts_as_its_ipv4_address() {
        assert_eq!(client_of("::ffff:203.0.113.9", &[]), "203.0.113.9");
        assert_eq!(
            client_of("::ffff:10.0.0.1", &["::ffff:198.51.100.1"]),
            "198.51.100.1"
        );
        assert_eq!(
            client_of("10.0.0.1", &["198.51.100.1:4711"]),
            "198.51.100.1"
        );
        for v6 in ["[2001:db8::1]:80", "[2001:db8::1]", "2001:db8::1"] {
            assert_eq!(client_of("10.0.0.1", &[v6]), "2001:db8::1");
        }
    }

    #[test]
    fn ipv6_counts_by_its_64_and_ipv4_by_its_address() {
        let key = |ip: &str| limit_key(ip.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:0:0:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:203.0.113.9"), key("203.0.113.9"));
        assert_ne!(key("203.0.113.8"), key("203.0.113.9"));
    }
}
