//! `pigeonhole.limit_log`: the events that limits count, in sliding windows that are exact over all
//! processes.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::PgConnection;

use crate::advisory_lock::AdvisoryLock;
use crate::clock::seconds;
use crate::error::StoreError;
use crate::keyring::Keyring;

/// At most `most` events of one key in any `window`.
#[derive(Debug, Clone)]
pub struct Limit {
    /// What it counts by, in clear, such as `user:…` or `number:+1…`. Only its blind index is
    /// stored.
    pub key: String,
    /// The most events within the window; 0 refuses everything.
    pub most: u32,
    /// The window.
    pub window: Duration,
}

/// A limit that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    /// Its position in the given list; of several limits, the one that lasts longest.
    pub limit: usize,
    /// How long until it allows an event again, by the database's clock; at least a second.
    pub wait: Duration,
}

/// Acquires the lock of all limits until the transaction ends: between [`exceeded`] and [`record`]
/// no other transaction may record. One lock for all is enough: it is held only before an SMS is
/// paid for.
pub async fn lock(conn: &mut PgConnection) -> Result<(), StoreError> {
    AdvisoryLock::Limits.acquire(conn).await
}

/// [`lock`] for these keys alone: transactions with other keys continue. Every transaction that
/// records one of these keys must lock it this way.
pub async fn lock_keys(
    conn: &mut PgConnection,
    keyring: &Keyring,
    limits: &[Limit],
) -> Result<(), StoreError> {
    // Under every key of the ring, so that processes with different first keys lock the same keys;
    // in an order, so that no two deadlock.
    let keys: BTreeSet<String> = limits
        .iter()
        .flat_map(|limit| keyring.blind_indexes(&limit.key))
        .collect();
    let keys: Vec<String> = keys.into_iter().collect();
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended(key, 1))
         from (select key from unnest($1::text[]) as given(key) order by key collate \"C\") as ordered",
        &keys,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Returns how many events the limit admits now.
pub async fn left(
    conn: &mut PgConnection,
    keyring: &Keyring,
    limit: &Limit,
) -> Result<u32, StoreError> {
    // It counts up to the limit only.
    let used = sqlx::query_scalar!(
        r#"select count(*) as "used!" from (
               select from pigeonhole.limit_log
               where key = any($1) and at > statement_timestamp() - make_interval(secs => $2) limit $3
           ) as events"#,
        &keyring.blind_indexes(&limit.key),
        limit.window.as_secs_f64(),
        i64::from(limit.most),
    )
    .fetch_one(conn)
    .await?;
    let used = u32::try_from(used).unwrap_or(u32::MAX);
    Ok(limit.most.saturating_sub(used))
}

/// Returns the limit that refuses an event now, if one does. Without [`lock`] the result may be
/// outdated when it arrives, and too lenient at most: it serves to refuse early.
pub async fn exceeded(
    conn: &mut PgConnection,
    keyring: &Keyring,
    limits: &[Limit],
) -> Result<Option<Exceeded>, StoreError> {
    // Events under older keys of the ring count, too. Otherwise a rotation would reset every limit.
    let keys: Vec<String> = limits
        .iter()
        .map(|limit| keyring.blind_indexes(&limit.key).join(" "))
        .collect();
    let most: Vec<i64> = limits.iter().map(|limit| limit.most.into()).collect();
    let windows: Vec<f64> = limits
        .iter()
        .map(|limit| limit.window.as_secs_f64())
        .collect();
    // The event that must leave the window first is the one `most - 1` before the newest. For each
    // key Postgres reads at most `most` entries of the index: for that the beginning of the window
    // must be `stable`. The statement's start is earlier than events recorded after it, so the
    // window can only be too long.
    let row = sqlx::query!(
        r#"select n as "n!", wait as "wait!"
           from unnest($1::text[], $2::bigint[], $3::float8[])
               with ordinality as l (keys, most, seconds, n),
           lateral (
               select extract(epoch
                   from event.at + make_interval(secs => seconds) - clock_timestamp())::float8
               from unnest(string_to_array(keys, ' ')) as k (key), lateral (
                   select at from pigeonhole.limit_log
                   where limit_log.key = k.key
                       and at > statement_timestamp() - make_interval(secs => seconds)
                   order by at desc limit most
               ) event
               order by event.at desc offset greatest(most - 1, 0) limit 1
           ) used (wait)
           where most > 0
           union all
           select n, seconds
           from unnest($2::bigint[], $3::float8[]) with ordinality as l (most, seconds, n)
           where most = 0
           order by 2 desc, 1 limit 1"#,
        &keys,
        &most,
        &windows,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Exceeded {
        limit: usize::try_from(row.n - 1).unwrap_or_default(),
        wait: seconds(row.wait).max(Duration::from_secs(1)),
    }))
}

/// Records one event for each of these keys, now by the database's clock. A key that is given twice
/// counts once.
pub async fn record(
    conn: &mut PgConnection,
    keyring: &Keyring,
    limits: &[Limit],
) -> Result<(), StoreError> {
    let keys: BTreeSet<&str> = limits.iter().map(|limit| limit.key.as_str()).collect();
    let keys: Vec<String> = keys
        .into_iter()
        .map(|key| keyring.blind_index(key).as_str().to_owned())
        .collect();
    sqlx::query!(
        "insert into pigeonhole.limit_log (key, at)
         select key, clock_timestamp() from unnest($1::text[]) as k (key)",
        &keys,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes the events that no window of at most `longest` contains. Returns how many.
pub async fn delete_expired(conn: &mut PgConnection, longest: Duration) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "delete from pigeonhole.limit_log
         where at < statement_timestamp() - make_interval(secs => $1)",
        longest.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
