//! Stores the SMS that carry verification codes, each together with its job.

use std::{fmt, time::Duration};

use queue::NewJob;
use sqlx::PgConnection;
use uuid::Uuid;

use super::columns::{TABLE, seal_message};
use super::purpose::Purpose;
use crate::e164::E164;
use crate::error::StoreError;
use crate::job_args::SendVerification;
use crate::keyring::Keyring;

/// An SMS with a verification code, to be sent.
#[derive(Clone)]
pub struct NewVerification {
    /// The user who caused it.
    pub user_id: Uuid,
    /// The recipient.
    pub to: E164,
    /// The text.
    pub body: String,
    /// How long from now it may still be sent.
    pub life: Duration,
    /// The trace context that its job continues.
    pub trace: Option<String>,
}

impl fmt::Debug for NewVerification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewVerification([sealed])")
    }
}

/// Stores a send, pending, and enqueues its job. Returns its id.
///
/// Fails with [`StoreError::UserGone`] if there is no such user.
pub async fn enqueue_verification(
    conn: &mut PgConnection,
    keyring: &Keyring,
    new: &NewVerification,
) -> Result<Uuid, StoreError> {
    let id = Uuid::new_v4();
    let recipient_index = keyring.blind_index(new.to.as_str());
    sqlx::query!(
        "insert into pigeonhole.sends (id, user_id, purpose, recipient_index, sealed, expires_at)
         values ($1, $2, $3, $4, $5, clock_timestamp() + make_interval(secs => $6))",
        id,
        new.user_id,
        Purpose::Verification.as_str(),
        recipient_index.as_str(),
        seal_message(keyring, id, &new.to, &new.body)?,
        new.life.as_secs_f64(),
    )
    .execute(&mut *conn)
    .await
    .map_err(StoreError::writing_for_user(TABLE))?;
    let job = NewJob::of(&SendVerification { send: id })?.trace(new.trace.clone());
    queue::enqueue_all(conn, &[job]).await?;
    Ok(id)
}
