//! `POST /api/sms/status`: Twilio's status callbacks report the state of an SMS that we sent.
//!
//! Callbacks arrive in any order, several times, late, or before Twilio's response to our own
//! request for the SMS. None of that does harm: a send's state only moves forward, and the
//! callback's URL names the send.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use queue::Pool;
use store::{
    StoreError, opt_outs,
    sends::{self, Move, SendState},
};
use tokio::time::timeout;
use twilio::status::{self, StatusCallback, UndeliveredReason};
use uuid::Uuid;

use super::{accept::DEADLINE, error::ReceiverError, payload, state::ReceiverState};
use crate::metrics::receiver as metrics;

/// Twilio's error code for an SMS that was not sent because its recipient has opted out.
const OPTED_OUT: u32 = 21610;

/// The effect of a status callback.
enum CallbackEffect {
    /// The send's state has moved.
    Moved,
    /// The send had this state already, or a later one.
    Repeated,
    /// No send of ours is meant. For example, another program sends from the same account.
    Unknown,
}

/// Responds to a status callback, and counts and logs how it ended.
pub(super) async fn status(
    State(receiver): State<Arc<ReceiverState>>,
    request: Request<Body>,
) -> Response {
    let (outcome, response) = match apply_callback(&receiver, request).await {
        Ok(CallbackEffect::Moved) => ("moved", StatusCode::NO_CONTENT.into_response()),
        Ok(CallbackEffect::Repeated) => ("repeated", StatusCode::NO_CONTENT.into_response()),
        Ok(CallbackEffect::Unknown) => ("unknown", StatusCode::NO_CONTENT.into_response()),
        Err(error) => {
            error.log();
            (error.label(), error.into_response())
        }
    };
    metrics::status_report(outcome);
    response
}

async fn apply_callback(
    receiver: &ReceiverState,
    request: Request<Body>,
) -> Result<CallbackEffect, ReceiverError> {
    let (head, body) = request.into_parts();
    payload::require_form(&head.headers)?;
    let parameters = payload::read_form(&head.headers, body).await?;
    receiver.signatures.check(&head, &parameters)?;
    let callback = StatusCallback::from_fields(&parameters)?;
    if callback.account_sid != receiver.account_sid {
        return Err(ReceiverError::ForeignAccount);
    }
    let send = send_named_in(&head);
    let effect = timeout(DEADLINE, move_send(&receiver.pool, send, &callback))
        .await
        .map_err(|_| ReceiverError::DatabaseSlow)??;
    tracing::info!(send = ?send, message.sid = callback.message_sid.as_str(), status = ?callback.status,
        code = callback.error_code, "status report received");
    Ok(effect)
}

async fn move_send(
    pool: &Pool,
    send: Option<Uuid>,
    callback: &StatusCallback,
) -> Result<CallbackEffect, StoreError> {
    let state = SendState::of_twilio(&callback.status);
    let reason = match state {
        SendState::Undelivered | SendState::Failed => {
            let reason = callback
                .error_code
                .map_or(UndeliveredReason::Unknown, status::reason);
            Some(reason.label())
        }
        SendState::Pending
        | SendState::Sending
        | SendState::Unknown
        | SendState::Sent
        | SendState::Delivered => None,
    };
    let to = Move {
        state,
        twilio_sid: Some(callback.message_sid.as_str()),
        reason,
        error_code: callback.error_code,
    };
    let mut conn = pool.acquire().await?;
    let moved = match send {
        Some(send) => sends::advance(&mut conn, send, to).await?,
        None => sends::advance_named(&mut conn, callback.message_sid.as_str(), to).await?,
    };
    if let (Some(send), Some(OPTED_OUT)) = (send, callback.error_code) {
        opt_outs::record_twilio_refusal(&mut conn, send).await?;
    }
    if moved {
        // Only the metric needs the purpose: an error here leaves the callback's effect as it is.
        let purpose = sends::purpose(&mut conn, send, callback.message_sid.as_str()).await;
        if let Ok(Some(purpose)) = purpose {
            sends::send_moved(purpose, state);
        }
        return Ok(CallbackEffect::Moved);
    }
    // Twilio does not report this again, so the state that is stored must not be lost. On a standby
    // this fails: a send that is missing there may exist.
    store::wait_at_commit(&mut conn).await?;
    let name = callback.message_sid.to_string();
    let known = sends::known_names(&mut conn, &[name]).await?;
    Ok(if known.is_empty() {
        CallbackEffect::Unknown
    } else {
        CallbackEffect::Repeated
    })
}

/// The send that the URL names. Twilio signed the URL, so we wrote it.
fn send_named_in(head: &Parts) -> Option<Uuid> {
    let query = head.uri.query()?;
    let (_, id) = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| *name == "send")?;
    Uuid::try_parse(id).ok()
}
