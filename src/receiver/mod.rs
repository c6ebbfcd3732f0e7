//! The receiver: the HTTP edge that checks a webhook, stores its message and enqueues the message's
//! job, and only then responds.
//!
//! The data path is `payload` (is the body a form?), `signature` (is the request from Twilio?),
//! `payload` again (is it a message for our account?) and `accept` (one commit). Nothing that is
//! refused is stored.

mod accept;
pub mod api;
mod error;
mod payload;
mod signature;
mod state;
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
use queue::{Pool, Waker};
use store::Keyring;
use tracing::Instrument;
use twilio::{signature::AuthTokensError, twiml};

use crate::{
    config::{ReceiverConfig, STATUS_PATH, WEBHOOK_PATH},
    metrics::receiver as metrics,
    recovery_trigger::RecoveryTrigger,
};
use accept::{Accepted, Intake};
use error::ReceiverError;
use state::ReceiverState;

/// The receiver of a process. Cheap to clone.
#[derive(Clone)]
pub struct Receiver(Arc<ReceiverState>);

impl Receiver {
    /// A receiver that stores through this pool and wakes the workers.
    pub fn new(
        config: &ReceiverConfig,
        pool: Pool,
        keyring: Arc<Keyring>,
        waker: &Waker,
    ) -> Result<Self, AuthTokensError> {
        let recovery = config
            .recovery
            .then(|| RecoveryTrigger::start(pool.clone()));
        let intake = Intake::start(&pool, waker, recovery);
        Self::with_intake(config, pool, keyring, intake)
    }

    /// A receiver that checks, seals and responds as the real one does, but stores nothing. `cargo
    /// bench` compares the real one with it.
    #[doc(hidden)]
    pub fn discarding(
        config: &ReceiverConfig,
        pool: Pool,
        keyring: Arc<Keyring>,
    ) -> Result<Self, AuthTokensError> {
        Self::with_intake(config, pool, keyring, Intake::discarding())
    }

    fn with_intake(
        config: &ReceiverConfig,
        pool: Pool,
        keyring: Arc<Keyring>,
        intake: Intake,
    ) -> Result<Self, AuthTokensError> {
        metrics::start();
        store::sends::start_sends();
        let state = ReceiverState::new(config, pool, keyring, intake)?;
        Ok(Self(Arc::new(state)))
    }

    /// The routes for Twilio.
    pub fn router(self) -> Router {
        Router::new()
            .route(WEBHOOK_PATH, post(webhook))
            .route(STATUS_PATH, post(status::status))
            .with_state(self.0)
    }
}

/// Responds to a webhook, and counts and logs how it ended.
async fn webhook(State(receiver): State<Arc<ReceiverState>>, request: Request<Body>) -> Response {
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
        let result = accept_webhook(&receiver, request, trace).await;
        let (outcome, response) = match result {
            Ok(Accepted::New) => {
                tracing::info!("webhook accepted");
                ("accepted", empty_twiml())
            }
            Ok(Accepted::Duplicate) => {
                tracing::info!("webhook is a duplicate and has no second effect");
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

/// The whole of the receiver. Each step refuses the webhook or passes it on.
async fn accept_webhook(
    receiver: &ReceiverState,
    request: Request<Body>,
    trace: String,
) -> Result<Accepted, ReceiverError> {
    let (head, body) = request.into_parts();
    payload::require_form(&head.headers)?;
    let parameters = payload::read_form(&head.headers, body).await?;
    receiver.signatures.check(&head, &parameters)?;
    let webhook = payload::parse_message(parameters, &receiver.account_sid)?;
    tracing::Span::current().record("message.sid", webhook.message_sid().as_str());
    receiver
        .intake
        .accept(&receiver.keyring, &webhook, trace)
        .await
}

/// The response that has Twilio send no reply.
fn empty_twiml() -> Response {
    (
        StatusCode::OK,
        [(header::CONTENT_TYPE, twiml::CONTENT_TYPE)],
        twiml::empty(),
    )
        .into_response()
}
