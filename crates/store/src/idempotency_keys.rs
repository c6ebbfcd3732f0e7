//! `pigeonhole.idempotency_keys`: responses to requests with an `Idempotency-Key`.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::{StoreError, expect_one};
use crate::keyring::Keyring;
use crate::sealed::Context;
use crate::wait_at_commit::wait_at_commit;

const TABLE: &str = "pigeonhole.idempotency_keys";

/// The state of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// It is new, and now reserved until the transaction ends.
    New,
    /// It was used for the same request, which got this response. The caller must commit before it
    /// repeats the response: the commit waits for the standbys.
    Before {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: Vec<u8>,
    },
    /// It was used for another request.
    ForAnother,
}

/// Reserves a user's key for a request; `request` is its method, path and body. Only keyed digests
/// of both are stored. It waits while another transaction holds the same key.
///
/// Fails with [`StoreError::UserGone`] if there is no such user.
pub async fn reserve(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    key: &str,
    request: &[u8],
) -> Result<KeyState, StoreError> {
    let keys = keyring.blind_indexes(&in_clear(user_id, key));
    let requests = keyring.blind_indexes_of_bytes(request);
    loop {
        let done = sqlx::query!(
            "insert into pigeonhole.idempotency_keys (user_id, key_index, fingerprint)
             select $1, $2, $3
             where not exists (
                 select from pigeonhole.idempotency_keys
                 where user_id = $1 and key_index = any($4))
             on conflict do nothing",
            user_id,
            keys[0],
            requests[0],
            &keys,
        )
        .execute(&mut *conn)
        .await
        .map_err(StoreError::writing_for_user(TABLE))?;
        if done.rows_affected() == 1 {
            return Ok(KeyState::New);
        }
        if let Some(state) = state_of(conn, keyring, user_id, &keys, &requests).await? {
            // The response promises what the first request did, so it must not be lost either.
            wait_at_commit(conn).await?;
            return Ok(state);
        }
        // It was deleted between the two statements: it is free again.
    }
}

/// Returns the state of a key that exists. A statement of its own: the row may have been committed
/// while the insert waited for it.
async fn state_of(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    keys: &[String],
    requests: &[String],
) -> Result<Option<KeyState>, StoreError> {
    let row = sqlx::query!(
        "select key_index, fingerprint, status, sealed_body from pigeonhole.idempotency_keys
         where user_id = $1 and key_index = any($2) limit 1",
        user_id,
        keys,
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if !requests.contains(&row.fingerprint) {
        return Ok(Some(KeyState::ForAnother));
    }
    // Without a response it is this transaction's own reservation: others see it only with the
    // response.
    let (Some(status), Some(sealed)) = (row.status, row.sealed_body) else {
        return Ok(Some(KeyState::New));
    };
    Ok(Some(KeyState::Before {
        status: u16::try_from(status).map_err(|_| unknown_status())?,
        body: keyring.open(&sealed_column(user_id, &row.key_index), &sealed)?,
    }))
}

/// Stores the response to the request for which this transaction has reserved the key.
pub async fn store_response(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    key: &str,
    status: u16,
    body: &[u8],
) -> Result<(), StoreError> {
    let index = keyring.blind_index(&in_clear(user_id, key));
    let sealed = keyring.seal(&sealed_column(user_id, index.as_str()), body)?;
    let done = sqlx::query!(
        "update pigeonhole.idempotency_keys set status = $3, sealed_body = $4
         where user_id = $1 and key_index = $2 and status is null",
        user_id,
        index.as_str(),
        i16::try_from(status).map_err(|_| unknown_status())?,
        sealed,
    )
    .execute(conn)
    .await?;
    expect_one(&done, TABLE, index.as_str())
}

/// Deletes keys that are older than this. Returns how many.
pub async fn delete_expired(conn: &mut PgConnection, age: Duration) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "delete from pigeonhole.idempotency_keys
         where created_at < statement_timestamp() - make_interval(secs => $1)",
        age.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

fn in_clear(user_id: Uuid, key: &str) -> String {
    format!("idempotency:{user_id}:{key}")
}

fn sealed_column(user_id: Uuid, key_index: &str) -> Context {
    Context::new(TABLE, "sealed_body", format_args!("{user_id}/{key_index}"))
}

fn unknown_status() -> StoreError {
    StoreError::UnknownValue {
        table: TABLE,
        column: "status",
    }
}
