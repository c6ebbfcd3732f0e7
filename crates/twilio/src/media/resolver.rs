//! Resolves host names and refuses addresses that are not public.
//!
//! The name of a media host comes from Twilio, and the owner of its DNS zone decides its address.
//! So the resolver of the HTTP client itself checks the address: no second look-up could return
//! another one.

use std::{collections::HashSet, io, net::SocketAddr, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::is_public;

/// A name resolves to an address that is not public.
#[derive(Debug, thiserror::Error)]
#[error("the host's address is not public")]
pub(super) struct NotPublic;

/// The system's resolver, restricted to public addresses.
pub(super) struct PublicOnly {
    /// Names that an operator configured. They may have private addresses.
    pub(super) trusted: Arc<HashSet<String>>,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let trusted = self.trusted.contains(name.as_str());
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if !trusted && !found.iter().all(|address| is_public(address.ip())) {
                return Err(NotPublic.into());
            }
            if found.is_empty() {
                return Err(io::Error::from(io::ErrorKind::NotFound).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Whether this resolver caused the error.
pub(super) fn refused(error: &reqwest::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<NotPublic>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::error::{Forbidden, MediaError};
    use super::*;

    fn trusting(names: &[&str]) -> PublicOnly {
        PublicOnly {
            trusted: Arc::new(names.iter().map(|name| (*name).to_owned()).collect()),
        }
    }

    async fn resolves(resolver: &PublicOnly, name: &str) -> bool {
        resolver
            .resolve(name.parse().expect("a name"))
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn a_name_of_this_machine_does_not_resolve_unless_it_is_trusted() {
        for name in [
            "localhost",
            "127.0.0.1",
            "127.1",
            "0x7f000001",
            "2130706433",
            "::1",
            "10.0.0.1",
        ] {
            assert!(!resolves(&trusting(&["other"]), name).await, "{name}");
        }
        assert!(resolves(&trusting(&["localhost"]), "localhost").await);
        assert!(resolves(&trusting(&[]), "1.1.1.1").await);
    }

    #[tokio::test]
    async fn a_request_to_a_name_of_this_machine_is_forbidden_and_not_sent() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let url = format!("http://localhost:{port}/");
        let get = async |resolver: PublicOnly| {
            let client = reqwest::Client::builder()
                .dns_resolver(Arc::new(resolver))
                .no_proxy()
                .timeout(std::time::Duration::from_millis(300))
                .build()
                .expect("a client");
            client.get(&url).send().await.expect_err("nobody answers")
        };
        let error = MediaError::of_failure(&get(trusting(&[])).await);
        assert_eq!(error, MediaError::Forbidden(Forbidden::Address));
        let nobody = tokio::time::timeout(std::time::Duration::from_millis(1), listener.accept());
        assert!(nobody.await.is_err());
        let error = MediaError::of_failure(&get(trusting(&["localhost"])).await);
        assert!(matches!(error, MediaError::Unavailable(_)), "{error:?}");
        assert!(listener.accept().await.is_ok());
    }
}
