//! Messages that have ended: lists them, and ends jobs that have nothing left to do.

use chrono::{DateTime, Utc};
use queue::Fence;
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

/// Deletes the job of a message that has ended or is gone. Returns false, and deletes nothing, if
/// the message is open or another claim has the job.
///
/// One statement, which no standby runs: the caller may have read the state of the message on a
/// server that lags.
pub async fn complete_job_of_ended(
    conn: &mut PgConnection,
    fence: Fence,
    message_sid: &str,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "delete from queue.jobs where id = $1 and claim = $2 and not exists (
             select from pigeonhole.inbound_messages
             where message_sid = $3 and state in ('received', 'failed'))",
        fence.job,
        fence.claim,
        message_sid,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Returns whether the message is stored.
pub async fn exists(conn: &mut PgConnection, message_sid: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
               select from pigeonhole.inbound_messages where message_sid = $1) as "exists!""#,
        message_sid,
    )
    .fetch_one(conn)
    .await?)
}
