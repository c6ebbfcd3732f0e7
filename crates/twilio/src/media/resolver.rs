//! Looks names up, and answers none that leads inside.
//!
//! The name of a media host is Twilio's word or, on a cloud's domain, anyone's, and what it stands
//! for is up to whoever runs its DNS. So addresses are judged here, where the connection takes them
//! from: there is no second look-up that could answer otherwise.

use std::{collections::HashSet, io, net::SocketAddr, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::is_public;

/// A name stands for an address that is none of the public internet.
#[derive(Debug, thiserror::Error)]
#[error("the host's address is not one of the public internet")]
pub(super) struct NotPublic;

/// The system's resolver, and a judgement of what it says.
pub(super) struct PublicOnly {
    /// Names that an operator has configured, and that may be anywhere.
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

/// Was it the resolver that refused?
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
