//! Reserves the starts of messages within their users' rate limits. Each message gets one reservation, and the
//! statement that makes it also stores it.

use queue::rate_limit::{Admission, RateLimit, Seen};
use sqlx::PgConnection;
use store::inbound_messages::{Slot, Taken, keep_slots};
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
///
/// Nothing is locked while it decides. If others have changed a limit meanwhile, it decides again from the new state;
/// of all who try at the same time, one succeeds each time.
pub(super) async fn reserve_starts(
    conn: &mut PgConnection,
    limit: &RateLimit,
    messages: &[&Unreserved],
) -> Result<Vec<Admission>, StepError> {
    let keys: Vec<String> = messages
        .iter()
        .map(|message| rate_key(message.user_id()))
        .collect();
    let mut snapshot = Seen::read(conn, &keys).await?;
    let mut admissions = vec![None; messages.len()];
    loop {
        let mut reservations = Vec::new();
        for (at, (message, key)) in messages.iter().zip(&keys).enumerate() {
            // The messages of a key that is not in the snapshot have their reservations.
            let Some((admission, begins)) = snapshot.take(key, limit) else {
                continue;
            };
            admissions[at] = Some(admission);
            if !matches!(admission, Admission::Refused { .. }) {
                reservations.push(Slot {
                    message_sid: message.message_sid().to_string(),
                    at: begins,
                    key: key.clone(),
                });
            }
        }
        if reservations.is_empty() {
            break;
        }
        let changes = snapshot.changes();
        let updates = Taken {
            keys: changes.keys,
            before: changes.before,
            after: changes.after,
        };
        snapshot = Seen::default();
        for changed in keep_slots(conn, &reservations, &updates).await? {
            snapshot.note(changed.key, changed.number, changed.now);
        }
        if snapshot.is_empty() {
            break;
        }
    }
    let admissions: Option<Vec<Admission>> = admissions.into_iter().collect();
    let admissions = admissions.ok_or(StepError::Mismatch)?;
    admissions.iter().copied().for_each(metrics::rate_limit);
    Ok(admissions)
}
