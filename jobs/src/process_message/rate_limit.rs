//! The rate limit of a user's messages: which are charged when, and metrics. See
//! `store::inbound_messages::reserve_starts`.
//!
//! A message that costs next to nothing to process, and whose user is far from the limit, needs no
//! reservation: the statement that ends it charges the limit. If other messages of the user have
//! used up the limit meanwhile, that statement refuses, and the message is opened again.

use std::collections::HashMap;

use queue::rate_limit::{Admission, RateLimit, RateLimitSnapshot};
use sqlx::PgConnection;
use store::inbound_messages::{self, ReservationRequest};
use uuid::Uuid;

use super::stage::{Charge, Unreserved};
use crate::{StepError, metrics};

/// Which messages may be charged at their end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChargePolicy {
    pub(crate) limit: RateLimit,
    /// No model is asked.
    pub(crate) by_rules: bool,
}

impl ChargePolicy {
    /// Decides for each of these messages, in their order, and stores the reservations.
    pub(super) async fn charge(
        &self,
        conn: &mut PgConnection,
        snapshot: RateLimitSnapshot,
        messages: &[&Unreserved],
    ) -> Result<Vec<Charge>, StepError> {
        let mut counts: HashMap<Uuid, u32> = HashMap::new();
        for message in messages {
            *counts.entry(message.user_id()).or_default() += 1;
        }
        let at_end: Vec<bool> = messages
            .iter()
            .map(|message| {
                let (user, key) = (message.user_id(), message.rate_key());
                self.by_rules
                    && message.is_plain()
                    && snapshot.has_ample_room(&key, counts[&user], &self.limit)
            })
            .collect();
        let requests: Vec<ReservationRequest> = messages
            .iter()
            .zip(&at_end)
            .filter(|(_, at_end)| !**at_end)
            .map(|(message, _)| ReservationRequest {
                message_sid: message.message_sid().to_string(),
                rate_key: message.rate_key(),
                sent_at: message.sent_at(),
            })
            .collect();
        let admissions =
            inbound_messages::reserve_starts(conn, &self.limit, &requests, snapshot).await?;
        let mut admissions = admissions.into_iter();
        let charges = at_end.into_iter().map(|at_end| {
            if at_end {
                metrics::rate_limit(Admission::Now);
                return Ok(Charge::AtEnd);
            }
            let admission = admissions.next().ok_or(StepError::Mismatch)?;
            metrics::rate_limit(admission);
            Ok(Charge::Decided(admission))
        });
        charges.collect()
    }
}
