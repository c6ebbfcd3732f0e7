//! What every request to the API goes through, and how it is answered, counted and logged.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request},
    http::{HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use sqlx::PgTransaction;
use store::users;
use tokio::time::timeout;
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::{Inner, answer::Answer, client_ip::client_ip, error::ApiError};
use crate::{metrics::receiver as metrics, receiver::trace};

/// How long the database may take. Then the client hears 503 while it still listens.
const DEADLINE: Duration = Duration::from_millis(1500);

/// A request, less its body.
pub(super) struct Call {
    pub(super) head: Parts,
    pub(super) trace: String,
    span: Span,
}

impl Call {
    pub(super) fn of(route: &'static str, request: Request) -> (Self, Body) {
        let (head, body) = request.into_parts();
        let (span, trace) = trace::begin(&head.headers, |trace| {
            tracing::info_span!("api.request", route, trace, user = tracing::field::Empty)
        });
        (Self { head, trace, span }, body)
    }

    /// Does the work, and answers with what came of it.
    pub(super) async fn answer(
        &self,
        route: &'static str,
        work: impl Future<Output = Result<Answer, ApiError>>,
    ) -> Response {
        async {
            let started = Instant::now();
            let (outcome, mut response) = match work.await {
                Ok(answer) => {
                    tracing::info!(outcome = answer.outcome, "request carried out");
                    (answer.outcome, answer.into_response())
                }
                Err(error) => {
                    error.log();
                    if let Some(limit) = error.limit() {
                        metrics::verification_refused(limit);
                    }
                    (error.label(), error.into_response())
                }
            };
            metrics::api_request(route, outcome, started.elapsed());
            let headers = response.headers_mut();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        .instrument(self.span.clone())
        .await
    }
}

impl Inner {
    /// Whose token the request carries.
    pub(super) async fn user(&self, call: &Call) -> Result<Uuid, ApiError> {
        let user = self.tokens.user(&call.head.headers).await?;
        tracing::Span::current().record("user", tracing::field::display(user));
        Ok(user)
    }

    /// Where the request comes from, as far as anybody we trust knows.
    pub(super) fn client_ip(&self, call: &Call) -> IpAddr {
        let peer = call.head.extensions.get::<ConnectInfo<SocketAddr>>();
        // All who come from nobody knows where share one limit.
        let peer = peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |ConnectInfo(addr)| addr.ip());
        client_ip(peer, &call.head.headers, &self.trusted_proxies)
    }

    /// A transaction for a user, who must exist: tokens outlive accounts.
    pub(super) async fn begin(&self, user: Uuid) -> Result<PgTransaction<'static>, ApiError> {
        let mut tx = self.pool.begin().await?;
        if users::exists(&mut tx, user).await? {
            Ok(tx)
        } else {
            Err(ApiError::InvalidToken("user_gone"))
        }
    }
}

/// Waits for the database, but not for long. What was cut off is rolled back, unless it was just being committed.
pub(super) async fn in_time<T>(
    work: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    match timeout(DEADLINE, work).await {
        Ok(result) => result,
        Err(_) => Err(ApiError::DatabaseSlow),
    }
}
