//! What a user has been sent lately.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::purpose::Purpose;
use super::state::SendState;
use crate::clock::seconds;
use crate::e164::E164;
use crate::error::StoreError;
use crate::keyring::Keyring;

/// The state of a user's last send, for that user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendProgress {
    /// Its state.
    pub state: SendState,
    /// Why it failed: a word from a closed set.
    pub reason: Option<String>,
    /// Since when it has this state.
    pub updated_at: DateTime<Utc>,
}

/// Returns the state of the user's last send of this purpose to this number.
pub async fn last_to(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    purpose: Purpose,
    to: &E164,
) -> Result<Option<SendProgress>, StoreError> {
    let row = sqlx::query!(
        "select state, reason, updated_at from pigeonhole.sends
         where user_id = $1 and purpose = $2 and recipient_index = any($3)
         order by created_at desc, id limit 1",
        user_id,
        purpose.as_str(),
        &keyring.blind_indexes(to.as_str()),
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(SendProgress {
            state: SendState::parse(&row.state)?,
            reason: row.reason,
            updated_at: row.updated_at,
        })
    })
    .transpose()
}

/// Returns how many sends of this purpose to this number the user had within `window` that did not
/// fail, and how long ago the last one was; `None` if there was none. An undelivered send has
/// failed.
pub async fn recent_to(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    purpose: Purpose,
    to: &E164,
    window: Duration,
) -> Result<Option<(u32, Duration)>, StoreError> {
    let row = sqlx::query!(
        r#"select count(*) as "count!",
               extract(epoch from clock_timestamp() - max(created_at))::float8 as since
           from pigeonhole.sends
           where user_id = $1 and purpose = $2 and recipient_index = any($3)
               and created_at > statement_timestamp() - make_interval(secs => $4)
               and state not in ('undelivered', 'failed')"#,
        user_id,
        purpose.as_str(),
        &keyring.blind_indexes(to.as_str()),
        window.as_secs_f64(),
    )
    .fetch_one(conn)
    .await?;
    let count = u32::try_from(row.count).unwrap_or(u32::MAX);
    Ok(row.since.map(|since| (count, seconds(since))))
}
