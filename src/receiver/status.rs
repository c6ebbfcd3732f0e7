//! `POST /api/sms/status`: Twilio reports what became of an SMS that we sent.
//!
//! Reports come in any order, repeatedly, late, or before our own request for the SMS has been answered. A send's state
//! only moves up, and the URL names the send, so none of that matters.

use axum::{
    body::Body,
    extract::{Request, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use jobs::state_of;
use store::{
    StoreError, opt_outs,
    sends::{self, Move, SendState},
};
use tokio::time::timeout;
use twilio::status::{self, Reason, StatusCallback};
use uuid::Uuid;

use super::{Inner, Receiver, accept::DEADLINE, error::ReceiverError, payload};
use crate::metrics::receiver as metrics;

/// The code of what was not sent because its recipient has told our number to stop.
const OPTED_OUT: u32 = 21610;

/// What a report did.
enum Reported {
    Moved,
    /// The send had come as far already.
    Repeated,
    /// It is about nothing that we know of, such as an SMS that somebody else sends from the same account.
    Unknown,
}

pub(super) async fn status(State(receiver): State<Receiver>, request: Request<Body>) -> Response {
    let (outcome, response) = match receiver.0.report(request).await {
        Ok(Reported::Moved) => ("moved", StatusCode::NO_CONTENT.into_response()),
        Ok(Reported::Repeated) => ("repeated", StatusCode::NO_CONTENT.into_response()),
        Ok(Reported::Unknown) => ("unknown", StatusCode::NO_CONTENT.into_response()),
        Err(error) => {
            error.log();
            (error.label(), error.into_response())
        }
    };
    metrics::status_report(outcome);
    response
}

impl Inner {
    async fn report(&self, request: Request<Body>) -> Result<Reported, ReceiverError> {
        let (head, body) = request.into_parts();
        payload::require_form(&head.headers)?;
        let parameters = payload::read_form(&head.headers, body).await?;
        self.signatures.check(&head, &parameters)?;
        let report = StatusCallback::from_fields(&parameters)?;
        if report.account_sid != self.account_sid {
            return Err(ReceiverError::ForeignAccount);
        }
        let send = send_named_in(&head);
        let reported = timeout(DEADLINE, self.apply(send, &report))
            .await
            .map_err(|_| ReceiverError::DatabaseSlow)??;
        tracing::info!(send = ?send, message.sid = report.message_sid.as_str(), status = ?report.status,
            code = report.error_code, "status callback");
        Ok(reported)
    }

    async fn apply(
        &self,
        send: Option<Uuid>,
        report: &StatusCallback,
    ) -> Result<Reported, StoreError> {
        let state = state_of(&report.status);
        let reason = match state {
            SendState::Undelivered | SendState::Failed => {
                let reason = report.error_code.map_or(Reason::Unknown, status::reason);
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
            twilio_sid: Some(report.message_sid.as_str()),
            reason,
            error_code: report.error_code,
        };
        let mut conn = self.pool.acquire().await?;
        let moved = match send {
            Some(send) => sends::advance(&mut conn, send, to).await?,
            None => sends::advance_named(&mut conn, report.message_sid.as_str(), to).await?,
        };
        if let (Some(send), Some(OPTED_OUT)) = (send, report.error_code) {
            opt_outs::learn(&mut conn, send).await?;
        }
        if moved {
            // It is written; who only counts it costs it nothing.
            let purpose = sends::purpose(&mut conn, send, report.message_sid.as_str()).await;
            if let Ok(Some(purpose)) = purpose {
                jobs::metrics::send_moved(purpose, state);
            }
            return Ok(Reported::Moved);
        }
        let name = report.message_sid.to_string();
        let known = sends::known_names(&mut conn, &[name]).await?;
        Ok(if known.is_empty() {
            Reported::Unknown
        } else {
            Reported::Repeated
        })
    }
}

/// The send that the URL names. It is part of what Twilio signed, so we wrote it.
fn send_named_in(head: &Parts) -> Option<Uuid> {
    let query = head.uri.query()?;
    let (_, id) = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| *name == "send")?;
    Uuid::try_parse(id).ok()
}
