//! Moves sends from state to state.

use queue::Fence;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::state::SendState;
use crate::error::StoreError;

/// A move of a send to a higher state.
#[derive(Debug, Clone, Copy)]
pub struct Move<'a> {
    /// The new state.
    pub state: SendState,
    /// Its SID at Twilio, if known. A SID that a send has never changes.
    pub twilio_sid: Option<&'a str>,
    /// Why, if it failed: a word from a closed set.
    pub reason: Option<&'a str>,
    /// Twilio's error code, if there is one.
    pub error_code: Option<u32>,
}

/// Moves a send from pending to sending, if it is still pending and has not expired. Only the
/// caller that gets `true` may make the request to Twilio, once.
pub async fn start(conn: &mut PgConnection, id: Uuid) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "update pigeonhole.sends set state = 'sending', posted_at = clock_timestamp(),
             updated_at = clock_timestamp(), started_at = coalesce(started_at, clock_timestamp())
         where id = $1 and state = 'pending' and expires_at > clock_timestamp()",
        id,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Moves a send from sending back to pending, because Twilio certainly did not act on the request.
/// Returns whether it was still sending and had no SID.
pub async fn give_back(conn: &mut PgConnection, id: Uuid) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "update pigeonhole.sends set state = 'pending', posted_at = null,
             updated_at = clock_timestamp()
         where id = $1 and state = 'sending' and twilio_sid is null",
        id,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Moves a send up. Returns false when there is none, or it has this state or a higher one already.
/// A send that ends loses recipient and text. A send without a SID gets the one of the move in any
/// case.
///
/// Returns false and changes nothing if another send has the SID, or the send has another SID: then
/// the move is about another SMS.
pub async fn advance(conn: &mut PgConnection, id: Uuid, to: Move<'_>) -> Result<bool, StoreError> {
    if to.twilio_sid.is_none() {
        return update(conn, id, to).await;
    }
    // A savepoint: if another send gets this SID at the same time, the caller's transaction
    // continues.
    let mut tx = conn.begin().await?;
    match update(&mut tx, id, to).await {
        Ok(moved) => {
            tx.commit().await?;
            Ok(moved)
        }
        Err(StoreError::Database(error)) if error.is_unique_violation() => {
            tx.rollback().await?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// [`advance`] for the send with this SID at Twilio (`to.twilio_sid` is ignored).
pub async fn advance_named(
    conn: &mut PgConnection,
    twilio_sid: &str,
    to: Move<'_>,
) -> Result<bool, StoreError> {
    let id = sqlx::query_scalar!(
        "select id from pigeonhole.sends where twilio_sid = $1",
        twilio_sid,
    )
    .fetch_optional(&mut *conn)
    .await?;
    match id {
        Some(id) => {
            update(
                conn,
                id,
                Move {
                    twilio_sid: None,
                    ..to
                },
            )
            .await
        }
        None => Ok(false),
    }
}

async fn update(conn: &mut PgConnection, id: Uuid, to: Move<'_>) -> Result<bool, StoreError> {
    let moved = sqlx::query_scalar!(
        r#"with old as materialized (
               select id, state = any($3) as moves from pigeonhole.sends
               where id = $1
                   and (twilio_sid is null or $4::text is null or twilio_sid = $4)
                   and not exists (
                       select from pigeonhole.sends other
                       where other.twilio_sid = $4 and other.id <> $1)
               for update
           )
           update pigeonhole.sends new set
               twilio_sid = coalesce(twilio_sid, $4),
               state = case when moves then $2 else state end,
               reason = case when moves then $5 else reason end,
               error_code = case when moves then $6 else error_code end,
               updated_at = case when moves then clock_timestamp() else updated_at end,
               sealed = case when moves and $7 then null else sealed end
           from old where new.id = old.id and (moves or new.twilio_sid is null and $4 is not null)
           returning moves as "moves!""#,
        id,
        to.state.as_str(),
        &to.state.below(),
        to.twilio_sid,
        to.reason,
        to.error_code.and_then(|code| i32::try_from(code).ok()),
        to.state.is_end(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(moved.unwrap_or(false))
}

/// Ends the user's sends that no job has started: `failed`, for this reason. Returns how many.
pub async fn cancel_pending(
    conn: &mut PgConnection,
    user_id: Uuid,
    reason: &str,
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "update pigeonhole.sends set state = 'failed', reason = $2, sealed = null,
             updated_at = clock_timestamp()
         where user_id = $1 and state = 'pending'",
        user_id,
        reason,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Deletes the job of a send that has nothing left to do: it was sent or not, or is unknown for
/// good, or was deleted with its user. Returns false, and deletes nothing, if the send is still to
/// be sent or another claim has the job.
///
/// One statement, which no standby runs: the caller may have read the send on a server that lags.
pub async fn complete_job(
    conn: &mut PgConnection,
    fence: Fence,
    id: Uuid,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "delete from queue.jobs where id = $1 and claim = $2 and not exists (
             select from pigeonhole.sends where id = $3 and state in ('pending', 'sending'))",
        fence.job,
        fence.claim,
        id,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}
