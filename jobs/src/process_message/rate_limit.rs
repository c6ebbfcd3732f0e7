//! The rate limit of a user's messages: the key that they are counted under, and metrics. See
//! `store::inbound_messages::reserve_starts`.

use queue::rate_limit::{Admission, RateLimit};
use sqlx::PgConnection;
use store::inbound_messages::{self, ReservationRequest};
use uuid::Uuid;

use super::stage::Unreserved;
use crate::{StepError, metrics};

/// How the keys of users' rate limits begin.
pub(crate) const RATE_KEY: &str = "message:";

/// The key of a user's rate limit.
pub(crate) fn rate_key(user: Uuid) -> String {
    format!("{RATE_KEY}{user}")
}

/// Decides for each of these messages, in their order, and stores the reservations.
pub(super) async fn reserve_starts(
    conn: &mut PgConnection,
    limit: &RateLimit,
    messages: &[&Unreserved],
) -> Result<Vec<Admission>, StepError> {
    let requests: Vec<ReservationRequest> = messages
        .iter()
        .map(|message| ReservationRequest {
            message_sid: message.message_sid().to_string(),
            rate_key: rate_key(message.user_id()),
            sent_at: message.sent_at(),
        })
        .collect();
    let admissions = inbound_messages::reserve_starts(conn, limit, &requests).await?;
    admissions.iter().copied().for_each(metrics::rate_limit);
    Ok(admissions)
}
