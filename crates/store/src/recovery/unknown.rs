//! Finds the messages of Twilio's list that we do not have.

use std::collections::HashSet;

use sqlx::PgConnection;

use crate::error::StoreError;

/// Returns those of these messages that are not stored, were not erased and can perhaps be rebuilt.
/// Pass a thousand at most.
pub async fn unknown(
    conn: &mut PgConnection,
    message_sids: &[String],
) -> Result<HashSet<String>, StoreError> {
    let sids = sqlx::query_scalar!(
        r#"select sid as "sid!" from unnest($1::text[]) as given(sid)
           where not exists (
                   select from pigeonhole.inbound_messages where message_sid = sid)
               and not exists (
                   select from pigeonhole.erased_messages where message_sid = sid)
               and not exists (
                   select from pigeonhole.unrecoverable_messages where message_sid = sid)"#,
        message_sids,
    )
    .fetch_all(conn)
    .await?;
    Ok(sids.into_iter().collect())
}
