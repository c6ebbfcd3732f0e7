//! `pigeonhole.limit_log`: what limits count, in exact sliding windows that hold across processes.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::PgConnection;

use crate::advisory_lock::AdvisoryLock;
use crate::clock::seconds;
use crate::error::StoreError;
use crate::keyring::Keyring;

/// At most `most` events of one key within any `window`.
#[derive(Debug, Clone)]
pub struct Limit {
    /// What it counts by, in clear, such as `user:…` or `number:+1…`. Only its blind index is stored.
    pub key: String,
    /// The most events within the window; 0 refuses everything.
    pub most: u32,
    /// The window.
    pub window: Duration,
}

/// A limit that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    /// Its position in the list that was asked about; of several, the one that lasts longest.
    pub limit: usize,
    /// How long until it allows an event again, by the database's clock; at least a second.
    pub wait: Duration,
}

/// Waits for its turn to take and count, until the transaction ends: between [`exceeded`] and [`record`] nobody else
/// may record. One lock for all: whoever it holds up is about to spend money.
pub async fn lock(conn: &mut PgConnection) -> Result<(), StoreError> {
    AdvisoryLock::Limits.acquire(conn).await
}

/// [`lock`] for these keys alone: whoever records others goes on. Whoever takes some of these must take them this way.
pub async fn lock_keys(
    conn: &mut PgConnection,
    keyring: &Keyring,
    limits: &[Limit],
) -> Result<(), StoreError> {
    // Under every key of the ring, so that processes meet here whose first keys differ; in an order, so that none waits
    // for another that waits for it.
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

/// How many events the limit lets pass now.
pub async fn left(
    conn: &mut PgConnection,
    keyring: &Keyring,
    limit: &Limit,
) -> Result<u32, StoreError> {
    // It counts no further than to the limit.
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

/// The limit that refuses an event now, if one does. Without [`lock`] the answer may be out of date when it arrives, and
/// then only to the good of whoever asks: it is for refusing early.
pub async fn exceeded(
    conn: &mut PgConnection,
    keyring: &Keyring,
    limits: &[Limit],
) -> Result<Option<Exceeded>, StoreError> {
    // A key of the ring that is no longer the first still counts, or a rotation would reset every limit.
    let keys: Vec<String> = limits
        .iter()
        .map(|limit| keyring.blind_indexes(&limit.key).join(" "))
        .collect();
    let most: Vec<i64> = limits.iter().map(|limit| limit.most.into()).collect();
    let windows: Vec<f64> = limits
        .iter()
        .map(|limit| limit.window.as_secs_f64())
        .collect();
    // The event that must leave the window before there is room is the newest but `most - 1`. Of each key it takes a walk
    // down the index, of `most` steps at most: the time a window begins must be `stable` for that, and the statement's
    // start is earlier than what is recorded after it, so that the window errs by being longer.
    let row = sqlx::query!(
        r#"select n as "n!", wait as "wait!"
           from unnest($1::text[], $2::bigint[], $3::float8[]) with ordinality as l (keys, most, seconds, n),
           lateral (
               select extract(epoch from event.at + make_interval(secs => seconds) - clock_timestamp())::float8
               from unnest(string_to_array(keys, ' ')) as k (key), lateral (
                   select at from pigeonhole.limit_log
                   where limit_log.key = k.key and at > statement_timestamp() - make_interval(secs => seconds)
                   order by at desc limit most
               ) event
               order by event.at desc offset greatest(most - 1, 0) limit 1
           ) used (wait)
           where most > 0
           union all
           select n, seconds
           from unnest($2::bigint[], $3::float8[]) with ordinality as l (most, seconds, n) where most = 0
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

/// Counts one event for each of these keys, now by the database's clock. A key that stands there twice counts once.
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
        "insert into pigeonhole.limit_log (key, at) select key, clock_timestamp() from unnest($1::text[]) as k (key)",
        &keys,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes the events that no window of at most `longest` contains. Returns how many.
pub async fn delete_expired(conn: &mut PgConnection, longest: Duration) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "delete from pigeonhole.limit_log where at < statement_timestamp() - make_interval(secs => $1)",
        longest.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
