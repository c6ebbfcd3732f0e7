//! Listing and deleting keys.

use sqlx::PgConnection;

/// The most keys deleted in one statement.
const BATCH: i64 = 5000;

/// Deletes keys whose state no longer matters, because it admits what no state at all would. It
/// waits for no lock. Best called outside a transaction: then every few thousand are a transaction
/// of their own. Returns how many it has deleted.
pub async fn delete_expired(conn: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let mut deleted = 0;
    let mut last = String::new();
    loop {
        // Rows that are locked are in use. Waiting for them while holding others could deadlock.
        let batch = sqlx::query!(
            r#"with gone as (
                   delete from queue.rate_limits where key = any(array(
                       select key from queue.rate_limits
                       where key > $1 and tat_ns <= (extract(epoch from now()) * 1000000000)::bigint
                       order by key limit $2 for update skip locked))
                   returning key)
               select count(*) as "count!", max(key) as last from gone"#,
            last,
            BATCH,
        )
        .fetch_one(&mut *conn)
        .await?;
        deleted += batch.count.unsigned_abs();
        match batch.last {
            Some(key) if batch.count == BATCH => last = key,
            _ => return Ok(deleted),
        }
    }
}

/// Deletes a key at once, as if it had never been used, when what the key names is erased. Returns
/// whether it was there. In a transaction it must be the only statement or the last one: others
/// lock their keys first.
pub async fn delete_key(conn: &mut PgConnection, key: &str) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!("delete from queue.rate_limits where key = $1", key)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Returns the keys that begin with this prefix, in their order, at most `most`, after the key
/// `after`. The caller finds out which of them are not needed any more.
pub async fn keys_from(
    conn: &mut PgConnection,
    prefix: &str,
    after: Option<&str>,
    most: u16,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select key from queue.rate_limits where key > coalesce($2, '') and starts_with(key, $1)
           order by key limit $3"#,
        prefix,
        after,
        i64::from(most),
    )
    .fetch_all(conn)
    .await
}
