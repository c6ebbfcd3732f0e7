//! The receiver: the HTTP edge that checks a webhook, stores it and enqueues its job, and only then answers.
//!
//! The data path is `payload` (is it a form?), `signature` (is it Twilio?), `payload` again (is it a message?) and
//! `accept` (one commit). Nothing that is refused is stored.

mod accept;
pub mod api;
mod error;
mod payload;
mod signature;
mod status;
mod trace;

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use queue::Waker;
use sqlx::PgPool;
use store::Keyring;
use tracing::Instrument;
use twilio::{AccountSid, signature::AuthTokensError, twiml};

use crate::{
    config::{ReceiverConfig, STATUS_PATH, WEBHOOK_PATH},
    metrics::receiver as metrics,
};
use accept::{Accepted, Intake};
use error::ReceiverError;
use signature::SignatureCheck;

/// Everything a request needs. Cheap to clone.
#[derive(Clone)]
pub struct Receiver(Arc<Inner>);

struct Inner {
    pool: PgPool,
    intake: Intake,
    keyring: Arc<Keyring>,
    account_sid: AccountSid,
    signatures: SignatureCheck,
}

impl Receiver {
    /// A receiver that stores through this pool and wakes the workers.
    pub fn new(
        config: &ReceiverConfig,
        pool: PgPool,
        keyring: Arc<Keyring>,
        waker: &Waker,
    ) -> Result<Self, AuthTokensError> {
        let intake = Intake::start(&pool, waker);
        Self::with_intake(config, pool, keyring, intake)
    }

    /// A receiver that checks, seals and answers as the real one does, and stores nothing: what `cargo bench` compares
    /// the real one with.
    #[doc(hidden)]
    pub fn discarding(
        config: &ReceiverConfig,
        pool: PgPool,
        keyring: Arc<Keyring>,
    ) -> Result<Self, AuthTokensError> {
        Self::with_intake(config, pool, keyring, Intake::discarding())
    }

    fn with_intake(
        config: &ReceiverConfig,
        pool: PgPool,
        keyring: Arc<Keyring>,
        intake: Intake,
    ) -> Result<Self, AuthTokensError> {
        metrics::start();
        jobs::metrics::start_sends();
        Ok(Self(Arc::new(Inner {
            pool,
            intake,
            keyring,
            account_sid: config.twilio.account_sid.clone(),
            signatures: SignatureCheck::new(config)?,
        })))
    }

    /// The public routes.
    pub fn router(self) -> Router {
        Router::new()
            .route(WEBHOOK_PATH, post(webhook))
            .route(STATUS_PATH, post(status::status))
            .with_state(self)
    }
}

async fn webhook(State(receiver): State<Receiver>, request: Request<Body>) -> Response {
    let (span, trace) = trace::begin(request.headers(), |trace| {
        tracing::info_span!(
            "receiver.accept",
            trace,
            request = trace::request_id(request.headers()),
            message.sid = tracing::field::Empty
        )
    });
    async {
        let started = Instant::now();
        let result = receiver.0.take_in(request, trace).await;
        let (outcome, response) = match result {
            Ok(Accepted::New) => {
                tracing::info!("webhook accepted");
                ("accepted", empty_twiml())
            }
            Ok(Accepted::Duplicate) => {
                tracing::info!("webhook is a duplicate: answered, no second effect");
                ("duplicate", empty_twiml())
            }
            Err(error) => {
                error.log();
                if let Some(reason) = error.shed() {
                    metrics::shed(reason);
                }
                (error.label(), error.into_response())
            }
        };
        metrics::webhook(outcome, started.elapsed());
        response
    }
    .instrument(span)
    .await
}

impl Inner {
    async fn take_in(
        &self,
        request: Request<Body>,
        trace: String,
    ) -> Result<Accepted, ReceiverError> {
        let (head, body) = request.into_parts();
        payload::require_form(&head.headers)?;
        let parameters = payload::read_form(&head.headers, body).await?;
        self.signatures.check(&head, &parameters)?;
        let webhook = payload::parse_message(parameters, &self.account_sid)?;
        tracing::Span::current().record("message.sid", webhook.message_sid().as_str());
        self.intake.accept(&self.keyring, &webhook, trace).await
    }
}

/// The answer that sends nobody a reply.
fn empty_twiml() -> Response {
    (
        StatusCode::OK,
        [(header::CONTENT_TYPE, twiml::CONTENT_TYPE)],
        twiml::empty(),
    )
        .into_response()
}
