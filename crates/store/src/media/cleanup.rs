//! Erases files after the retention, and finds the objects that no row needs.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::error::StoreError;
use crate::wait_at_commit::wait_at_commit;

/// The most rows in one statement, so that none takes long.
const BATCH: i64 = 1000;

/// Erases files that were stored longer ago than this. Returns how many, at most 1000. The file of
/// a message that has not ended is kept, for a day at most, however short the retention.
pub async fn erase_older(conn: &mut PgConnection, retention: Duration) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "update pigeonhole.media set state = 'erased', erased_at = clock_timestamp(), sha256 = null,
             object_key = null, sealed_key = null
         where id in (
             select m.id from pigeonhole.media m join pigeonhole.inbound_messages i using (message_sid)
             where m.state = 'stored'
                 and m.stored_at <= clock_timestamp() - make_interval(secs => $1)
                 and (i.finished_at is not null
                     or m.stored_at <= clock_timestamp() - interval '1 day')
             order by m.stored_at limit $2 for update of m skip locked
         )",
        retention.as_secs_f64(),
        BATCH,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Gives up the objects of files that an attempt began to store longer ago than this and never
/// stored.
/// Returns how many, at most 1000. A later attempt begins with a new object.
pub async fn give_up_storing(conn: &mut PgConnection, age: Duration) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "update pigeonhole.media set object_key = null, sealed_key = null
         where id in (
             select id from pigeonhole.media
             where state = 'storing' and object_key is not null
                 and begun_at <= clock_timestamp() - make_interval(secs => $1)
             order by begun_at limit $2 for update skip locked
         )",
        age.as_secs_f64(),
        BATCH,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Returns at most 1000 messages that ended at least ten minutes ago and may still have files at
/// Twilio.
pub async fn left_at_twilio(conn: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        "select distinct message_sid
         from pigeonhole.media m join pigeonhole.inbound_messages i using (message_sid)
         where m.deleted_at_twilio is null and m.media_sid is not null
             and m.state not in ('storing', 'gone')
             and i.finished_at <= clock_timestamp() - interval '10 minutes'
         order by message_sid limit $1",
        BATCH,
    )
    .fetch_all(conn)
    .await?)
}

/// Returns objects that no row needs, the oldest first, at most 1000 of those after `after`. Call it
/// outside a transaction: it returns only after the deletion of those rows has reached the standbys,
/// so that no failover brings back a row whose object was deleted.
pub async fn garbage(
    conn: &mut PgConnection,
    after: Option<&(DateTime<Utc>, String)>,
) -> Result<Vec<(DateTime<Utc>, String)>, StoreError> {
    let rows = sqlx::query!(
        "select queued_at, object_key from pigeonhole.media_garbage
         where $1::timestamptz is null or (queued_at, object_key) > ($1, $2::text)
         order by queued_at, object_key limit $3",
        after.map(|after| after.0),
        after.map(|after| after.1.as_str()),
        BATCH,
    )
    .fetch_all(&mut *conn)
    .await?;
    if !rows.is_empty() {
        wait_at_commit(conn).await?;
    }
    Ok(rows
        .into_iter()
        .map(|row| (row.queued_at, row.object_key))
        .collect())
}

/// Records that these objects are deleted.
pub async fn delete_garbage(conn: &mut PgConnection, names: &[String]) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from pigeonhole.media_garbage where object_key = any($1)",
        names,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Returns which of these objects no row names. Fails on a standby, which may lack a row that the
/// primary has. Call it outside a transaction, as [`garbage`].
pub async fn unknown(conn: &mut PgConnection, names: &[String]) -> Result<Vec<String>, StoreError> {
    let unknown = sqlx::query_scalar!(
        r#"select name as "name!" from unnest($1::text[]) as name
           where not exists (select from pigeonhole.media where object_key = name)"#,
        names,
    )
    .fetch_all(&mut *conn)
    .await?;
    if !unknown.is_empty() {
        wait_at_commit(conn).await?;
    }
    Ok(unknown)
}

/// Returns the prefix of the names of all objects of this database.
pub async fn namespace(conn: &mut PgConnection) -> Result<String, StoreError> {
    Ok(
        sqlx::query_scalar!("select name from pigeonhole.media_namespace")
            .fetch_one(conn)
            .await?,
    )
}
