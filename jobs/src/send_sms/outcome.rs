//! Writes what became of a send.

use queue::Pool;
use store::sends::{self, Move, Send, SendState};

use crate::StepError;

/// Moves the send to this state and counts it.
pub(super) async fn write_outcome(pool: &Pool, send: &Send, to: Move<'_>) -> Result<(), StepError> {
    let mut conn = pool.acquire().await?;
    let moved = sends::advance(&mut conn, send.id, to).await?;
    if moved {
        sends::send_moved(send.purpose(), to.state);
    }
    tracing::info!(send = %send.id, state = ?to.state, reason = to.reason, code = to.error_code, moved, "SMS");
    Ok(())
}

/// A move to this state, without further facts.
pub(super) fn to(state: SendState) -> Move<'static> {
    Move {
        state,
        twilio_sid: None,
        reason: None,
        error_code: None,
    }
}

/// A move to `failed`, for this reason.
pub(super) fn failed(reason: &'static str, error_code: Option<u32>) -> Move<'static> {
    Move {
        reason: Some(reason),
        error_code,
        ..to(SendState::Failed)
    }
}
