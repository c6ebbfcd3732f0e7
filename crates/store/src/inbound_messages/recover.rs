//! Stores messages that no webhook brought: see `pigeonhole.recover_messages` in the migrations.

use chrono::{DateTime, Utc};
use queue::{JobArgs, Priority};
use sqlx::PgConnection;

use super::accept::SealedMessage;
use super::source::MessageSource;
use crate::error::StoreError;
use crate::job_args::ProcessMessage;

/// A message that no webhook brought.
#[derive(Debug, Clone)]
pub struct RecoveredMessage {
    /// The message.
    pub message: SealedMessage,
    /// Where its fields come from.
    pub source: MessageSource,
    /// When Twilio received it.
    pub sent_at: DateTime<Utc>,
}

/// Stores messages that no webhook brought and enqueues a job [`ProcessMessage`] for each. Returns
/// the SIDs of the new ones. A message that is stored already does not change, and one that was
/// erased is not stored again. The SIDs must differ.
///
/// The jobs of a sender stand in the order in which the messages were sent. They have a low
/// priority, so that thousands of old messages do not delay the new ones.
pub async fn recover_all(
    conn: &mut PgConnection,
    messages: &[RecoveredMessage],
) -> Result<Vec<String>, StoreError> {
    let column = |of: fn(&SealedMessage) -> &str| -> Vec<String> {
        messages.iter().map(|m| of(&m.message).to_owned()).collect()
    };
    let sealed: Vec<Vec<u8>> = messages.iter().map(|m| m.message.sealed.clone()).collect();
    let sources: Vec<String> = messages
        .iter()
        .map(|m| m.source.as_str().to_owned())
        .collect();
    let sent_at: Vec<DateTime<Utc>> = messages.iter().map(|m| m.sent_at).collect();
    let job_args: Vec<String> = messages
        .iter()
        .map(|m| ProcessMessage::args_of(&m.message.message_sid))
        .collect();
    Ok(sqlx::query_scalar!(
        r#"select pigeonhole.recover_messages($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) as "sid!""#,
        &column(|m| &m.message_sid),
        &column(|m| &m.account_sid),
        &column(|m| &m.sender_index),
        &sealed,
        &sources,
        &sent_at,
        ProcessMessage::NAME,
        i16::try_from(ProcessMessage::MAX_ATTEMPTS).unwrap_or(i16::MAX),
        Priority::LOW.as_i16(),
        &job_args,
    )
    .fetch_all(conn)
    .await?)
}
