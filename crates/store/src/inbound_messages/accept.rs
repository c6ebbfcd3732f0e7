//! Stores messages together with their jobs: see `pigeonhole.accept_messages` in the migrations.

use std::{borrow::Borrow, fmt};

use queue::JobArgs;
use sqlx::PgConnection;

use super::columns::{TABLE, sealed_column};
use crate::error::StoreError;
use crate::job_args::ProcessMessage;
use crate::keyring::Keyring;

/// A message as its webhook brought it. `Debug` hides who sent it and what it says.
pub struct NewMessage {
    /// Twilio's id of the message. A second message with this id is a repeat.
    pub message_sid: String,
    /// The Twilio account that received it.
    pub account_sid: String,
    /// The sender's address, usually an E.164 number. Stored as its blind index.
    pub sender: String,
    /// Every field of the webhook, in its order. Stored sealed.
    pub fields: Vec<(String, String)>,
}

/// A message as it will be written: nothing of it is readable any more.
#[derive(Debug, Clone)]
pub struct SealedMessage {
    pub(super) message_sid: String,
    pub(super) account_sid: String,
    pub(super) sender_index: String,
    pub(super) sealed: Vec<u8>,
}

/// A message to accept, with the trace of its job.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// The message.
    pub message: SealedMessage,
    /// The trace context that the job continues.
    pub trace: Option<String>,
}

impl NewMessage {
    /// Seals the message. Costs processor time and no connection.
    pub fn seal(&self, keyring: &Keyring) -> Result<SealedMessage, StoreError> {
        let context = sealed_column(&self.message_sid);
        let fields = serde_json::to_vec(&self.fields).map_err(|_| StoreError::Seal {
            table: TABLE,
            column: "sealed",
        })?;
        Ok(SealedMessage {
            message_sid: self.message_sid.clone(),
            account_sid: self.account_sid.clone(),
            sender_index: keyring.blind_index(&self.sender).as_str().to_owned(),
            sealed: keyring.seal(&context, &fields)?,
        })
    }
}

impl SealedMessage {
    /// Twilio's id of the message.
    pub fn message_sid(&self) -> &str {
        &self.message_sid
    }
}

/// Stores messages and enqueues a job [`ProcessMessage`] for each, in one statement. Returns the
/// SIDs of the new ones; a message that is stored already does not change, and one that was erased
/// is not stored again. The SIDs must differ.
///
/// The jobs of a sender share a lane, so a sender's backlog holds up no other sender.
pub async fn accept_all(
    conn: &mut PgConnection,
    acceptances: &[impl Borrow<Acceptance>],
) -> Result<Vec<String>, StoreError> {
    let acceptances: Vec<&Acceptance> = acceptances.iter().map(Borrow::borrow).collect();
    let column = |of: fn(&Acceptance) -> &str| -> Vec<&str> {
        acceptances
            .iter()
            .map(|acceptance| of(acceptance))
            .collect()
    };
    let sealed: Vec<&[u8]> = acceptances.iter().map(|a| &*a.message.sealed).collect();
    let job_args: Vec<String> = acceptances
        .iter()
        .map(|a| ProcessMessage::args_of(&a.message.message_sid))
        .collect();
    let traces: Vec<Option<&str>> = acceptances.iter().map(|a| a.trace.as_deref()).collect();
    Ok(sqlx::query_scalar!(
        r#"select pigeonhole.accept_messages($1, $2, $3, $4, $5, $6, $7, $8) as "sid!""#,
        &column(|a| &a.message.message_sid) as &[&str],
        &column(|a| &a.message.account_sid) as &[&str],
        &column(|a| &a.message.sender_index) as &[&str],
        &sealed as &[&[u8]],
        ProcessMessage::NAME,
        i16::try_from(ProcessMessage::MAX_ATTEMPTS).unwrap_or(i16::MAX),
        &job_args,
        &traces as &[Option<&str>],
    )
    .fetch_all(conn)
    .await?)
}

impl fmt::Debug for NewMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewMessage({}, [sealed])", self.message_sid)
    }
}
