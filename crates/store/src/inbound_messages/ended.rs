//! Lists the messages that have ended.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::state::MessageState;
use crate::error::StoreError;

/// A message that has ended, without what it says.
#[derive(Debug, Clone)]
pub struct EndedMessage {
    /// Twilio's id of the message.
    pub message_sid: String,
    /// How it ended.
    pub state: MessageState,
    /// When the receiver stored it, by the database's clock.
    pub received_at: DateTime<Utc>,
    /// When it ended, by the database's clock.
    pub finished_at: DateTime<Utc>,
}

/// Returns the messages that ended after `since`, at most 10,000, the oldest end first. The time is
/// that of the transaction's start, so a message may appear later than one that ended after it.
pub async fn ended_since(
    conn: &mut PgConnection,
    since: DateTime<Utc>,
) -> Result<Vec<EndedMessage>, StoreError> {
    let rows = sqlx::query!(
        r#"select message_sid, state, received_at, finished_at as "finished_at!"
           from pigeonhole.inbound_messages where finished_at > $1
           order by finished_at, message_sid limit 10000"#,
        since,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(EndedMessage {
                state: MessageState::parse(&row.state)?,
                message_sid: row.message_sid,
                received_at: row.received_at,
                finished_at: row.finished_at,
            })
        })
        .collect()
}
