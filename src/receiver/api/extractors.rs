//! Extractors that need the API's state: the signed-in user and the client's address.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::request::Parts,
};
use uuid::Uuid;

use super::{client_ip::client_ip, error::ApiError, state::ApiState};

/// The user that the request's bearer token names.
pub(super) struct SignedInUser(pub(super) Uuid);

impl FromRequestParts<Arc<ApiState>> for SignedInUser {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, ApiError> {
        let user = api.tokens.user(&parts.headers).await?;
        tracing::Span::current().record("user", tracing::field::display(user));
        Ok(Self(user))
    }
}

/// The address that the request comes from, as far as the connection and trusted proxies tell.
pub(super) struct ClientAddress(pub(super) IpAddr);

impl FromRequestParts<Arc<ApiState>> for ClientAddress {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, ApiError> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        // Requests without a known peer share one limit.
        let peer = peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |ConnectInfo(addr)| addr.ip());
        let client = client_ip(peer, &parts.headers, &api.trusted_proxies);
        Ok(Self(client))
    }
}
