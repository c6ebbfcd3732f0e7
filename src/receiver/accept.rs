//! One transaction for the message and its job. When this answers `Ok`, both are committed.
//!
//! Killed before the commit, nothing was stored and nothing was answered: Twilio's retry, fallback or message list
//! brings the message back. Killed after it, the message is in and its repeat is a duplicate.

use std::time::Duration;

use jobs::ProcessMessage;
use sqlx::PgPool;
use store::{
    Keyring, StoreError,
    inbound_messages::{self, NewMessage},
};
use tokio::time::{Instant, sleep, timeout_at};
use twilio::InboundWebhook;

use super::error::ReceiverError;

/// How long the database may take. Then the client hears 503 while it still listens: Twilio waits 15 s at most.
const DEADLINE: Duration = Duration::from_millis(1500);

/// The pause before asking again a database that was away. A restart or a failover is over in a second or two, and by
/// default Twilio does not repeat a webhook that was answered 503.
const PAUSE: Duration = Duration::from_millis(50);

/// What became of an acceptable webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepted {
    /// Stored, with a job.
    New,
    /// Its message was stored before.
    Duplicate,
}

pub(super) async fn accept(
    pool: &PgPool,
    keyring: &Keyring,
    webhook: &InboundWebhook,
) -> Result<Accepted, ReceiverError> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match timeout_at(deadline, store_and_enqueue(pool, keyring, webhook)).await {
            Ok(Err(ReceiverError::Store(error)))
                if error.is_unavailable() && Instant::now() + PAUSE < deadline =>
            {
                sleep(PAUSE).await;
            }
            Ok(result) => return result,
            Err(_) => return Err(ReceiverError::DatabaseSlow),
        }
    }
}

async fn store_and_enqueue(
    pool: &PgPool,
    keyring: &Keyring,
    webhook: &InboundWebhook,
) -> Result<Accepted, ReceiverError> {
    let mut tx = pool.begin().await.map_err(StoreError::from)?;
    let message = NewMessage {
        message_sid: webhook.message_sid().to_string(),
        account_sid: webhook.account_sid().to_string(),
        sender: webhook.from().as_str().to_owned(),
        fields: webhook.fields().to_vec(),
    };
    if !inbound_messages::insert_new(&mut tx, keyring, &message).await? {
        return Ok(Accepted::Duplicate); // its row is committed, hence its job was
    }
    let job = ProcessMessage {
        message: webhook.message_sid().clone(),
    };
    queue::enqueue(&mut tx, &job).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(Accepted::New)
}
