//! Places within rate limits: each message is given one, once, and that is written down in the statement that takes it.

use queue::rate_limit::{Admission, RateLimit, Seen};
use sqlx::PgConnection;
use store::inbound_messages::{Slot, Taken, keep_slots};
use uuid::Uuid;

use crate::{StepError, metrics};

/// A message without a place.
pub(super) struct Unplaced {
    pub(super) message_sid: String,
    pub(super) user: Uuid,
}

/// How the keys of users' messages begin.
pub(crate) const RATE_KEY: &str = "message:";

/// The key under which a user's messages are counted.
pub(crate) fn rate_key(user: Uuid) -> String {
    format!("{RATE_KEY}{user}")
}

/// Gives each message of the list a place, in its order, and says which.
///
/// Nothing is locked while it decides. Where others have changed a limit meanwhile, it decides again, from what they
/// have left: of all who are at it, one succeeds each time.
pub(super) async fn give(
    conn: &mut PgConnection,
    limit: &RateLimit,
    messages: &[Unplaced],
) -> Result<Vec<Admission>, StepError> {
    let keys: Vec<String> = messages
        .iter()
        .map(|message| rate_key(message.user))
        .collect();
    let mut seen = Seen::read(conn, &keys).await?;
    let mut given = vec![None; messages.len()];
    loop {
        let mut slots = Vec::new();
        for (at, (message, key)) in messages.iter().zip(&keys).enumerate() {
            // A key that it has not seen is one whose messages have their places.
            let Some((admission, begins)) = seen.take(key, limit) else {
                continue;
            };
            given[at] = Some(admission);
            if !matches!(admission, Admission::Refused { .. }) {
                slots.push(Slot {
                    message_sid: message.message_sid.clone(),
                    at: begins,
                    key: key.clone(),
                });
            }
        }
        if slots.is_empty() {
            break;
        }
        let changes = seen.changes();
        let taken = Taken {
            keys: changes.keys,
            before: changes.before,
            after: changes.after,
        };
        seen = Seen::default();
        for changed in keep_slots(conn, &slots, &taken).await? {
            seen.note(changed.key, changed.number, changed.now);
        }
        if seen.is_empty() {
            break;
        }
    }
    let given: Option<Vec<Admission>> = given.into_iter().collect();
    let given = given.ok_or(sqlx::Error::RowNotFound)?;
    given.iter().copied().for_each(metrics::rate_limit);
    Ok(given)
}
