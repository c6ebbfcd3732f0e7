//! `pigeonhole.unrecoverable_messages`: what Twilio lists and cannot be rebuilt.

use sqlx::PgConnection;

use crate::error::StoreError;

/// Why a message cannot be rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnrecoverableReason {
    /// Twilio has neither text nor files of it any more.
    Redacted,
    /// It is no message of the form that a webhook has.
    Unreadable,
}

impl UnrecoverableReason {
    /// All reasons.
    pub const ALL: [Self; 2] = [Self::Redacted, Self::Unreadable];

    /// The text in the database, and the metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redacted => "redacted",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Records that this message cannot be rebuilt. Returns whether that is new.
pub async fn record_unrecoverable(
    conn: &mut PgConnection,
    message_sid: &str,
    reason: UnrecoverableReason,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "insert into pigeonhole.unrecoverable_messages (message_sid, reason) values ($1, $2)
         on conflict do nothing",
        message_sid,
        reason.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}
