//! A limit per key, exact over all processes, that gives each event beyond it a slot of its own instead of turning it
//! away.
//!
//! In any window of length `W` at most `burst + W / period` slots of a key begin, by the database's clock. A slot that
//! lies ahead belongs to one event alone, so who waits for it need not ask again, and nobody wakes up in vain. What is
//! taken is taken in the caller's transaction: it stands if and only if what the caller writes down with it does.
//!
//! The row of a key is locked until that transaction ends, because until then nobody knows whether the slot is taken. So
//! the transaction should be short, of the usual isolation (read committed), and take all that it takes in one call:
//! transactions that make two calls could wait for each other in a circle.

mod gcra;
mod seen;

use std::{
    collections::{BTreeSet, HashMap},
    num::NonZeroU32,
    time::Duration,
};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use self::gcra::{Decision, Gcra};
pub use self::seen::{Changes, Seen, forget_key, keys_from};

/// The most keys forgotten in one statement.
const BATCH: i64 = 5000;

/// At most `burst` events of a key at once, and one more every `period`.
///
/// It may change at any time. Slots that were given stay as they are; those given from then on obey the new limit among
/// themselves.
#[derive(Debug, Clone, Copy)]
pub struct RateLimit {
    /// How many events a key that was quiet may have at once.
    pub burst: NonZeroU32,
    /// How long it takes until one more is admitted. Counted in whole microseconds, rounded up, at least one; and
    /// shortened where `burst` periods are longer than fifty years.
    pub period: Duration,
    /// An event whose slot is further away than this is refused. At most fifty years.
    pub max_delay: Duration,
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may happen now.
    Now,
    /// It may happen in a slot of its own, which nobody else is given.
    At {
        /// How far away the slot is.
        wait: Duration,
        /// When it begins.
        slot: DateTime<Utc>,
    },
    /// Its slot would be too far away. None was taken: the event costs its key nothing.
    Refused {
        /// How far away it would be.
        wait: Duration,
    },
}

/// Takes the next slot for one event of `key`, in the caller's transaction. Answers with it when the slot begins (for
/// one that is refused: would begin), to be recorded with what the slot is for, so that it is not charged again.
///
/// A key says what is counted, and of whom: limits that are to count apart need keys that differ. It is text of at most
/// a few hundred bytes, and names nobody.
pub async fn take(
    conn: &mut PgConnection,
    key: &str,
    limit: &RateLimit,
) -> Result<(Admission, DateTime<Utc>), sqlx::Error> {
    let mut taken = take_all(conn, &[key], limit).await?;
    taken.pop().ok_or(sqlx::Error::RowNotFound)
}

/// The same for many events, in three statements whatever their number. A key may stand there more than once: each of
/// its events takes a slot, in their order. Calls at the same time never wait for each other in a circle.
pub async fn take_all(
    conn: &mut PgConnection,
    keys: &[&str],
    limit: &RateLimit,
) -> Result<Vec<(Admission, DateTime<Utc>)>, sqlx::Error> {
    let distinct: BTreeSet<&str> = keys.iter().copied().collect();
    let distinct: Vec<&str> = distinct.into_iter().collect();
    if distinct.is_empty() {
        return Ok(Vec::new());
    }
    lock(&mut *conn, &distinct).await?;
    let (mut arrivals, now) = read(&mut *conn, &distinct).await?;
    let gcra = Gcra::new(limit);
    let mut changed = HashMap::new();
    let mut taken = Vec::with_capacity(keys.len());
    for key in keys {
        let arrival = arrivals.get_mut(*key).ok_or(sqlx::Error::RowNotFound)?;
        let decision = gcra.decide(*arrival, now);
        if let Decision::Admitted { arrival: next, .. } = decision {
            *arrival = next;
            changed.insert(*key, bigint(next));
        }
        taken.push(admission(decision, now));
    }
    write(conn, changed).await?;
    Ok(taken)
}

/// Forgets keys whose state no longer matters, because it admits what no state at all would. Waits for nobody. Best
/// called outside a transaction: then every few thousand are a transaction of their own.
pub async fn forget(conn: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let mut forgotten = 0;
    let mut last = String::new();
    loop {
        // Rows that are locked are in use; waiting for them while holding others would close a circle.
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
        forgotten += batch.count.unsigned_abs();
        match batch.last {
            Some(key) if batch.count == BATCH => last = key,
            _ => return Ok(forgotten),
        }
    }
}

/// Locks the rows of these keys, in the order of the keys, those that were not there included.
///
/// One statement for both: an insert followed by a `select … for update` locks new rows before old ones, in no common
/// order, and finds nothing to lock where [`forget`] came in between. An update on conflict locks each row as it comes
/// to it, also where its condition then leaves the row as it is.
async fn lock(conn: &mut PgConnection, keys: &[&str]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"insert into queue.rate_limits as r (key, tat_ns)
           select key, 0 from unnest($1::text[]) as key order by key collate "C"
           on conflict (key) do update set tat_ns = r.tat_ns where false"#,
        keys as &[&str],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The numbers of these keys, and the time. A statement of its own, so that both are as of now, when all locks are held:
/// the transaction's time is older than what others took while we waited.
///
/// Row by row through the index, which the `limit` makes sure of: `key = any($1)` with some hundred keys was planned as
/// a scan of the whole table.
async fn read(
    conn: &mut PgConnection,
    keys: &[&str],
) -> Result<(HashMap<String, u64>, u64), sqlx::Error> {
    let rows = sqlx::query!(
        r#"select asked.key as "key!", found.tat_ns, (select clock_timestamp()) as "now!"
           from unnest($1::text[]) as asked(key)
           cross join lateral (select tat_ns from queue.rate_limits where key = asked.key limit 1) as found"#,
        keys as &[&str],
    )
    .fetch_all(conn)
    .await?;
    let now = rows.first().map(|row| row.now.timestamp_micros());
    let now = u64::try_from(now.unwrap_or(0)).unwrap_or(0);
    let arrivals = rows
        .into_iter()
        .map(|row| (row.key, u64::try_from(row.tat_ns).unwrap_or(0)));
    Ok((arrivals.collect(), now.saturating_mul(1000)))
}

/// Writes numbers of rows that are locked. They are there: this is an update, in the form whose plan cannot go wrong.
async fn write(conn: &mut PgConnection, changed: HashMap<&str, i64>) -> Result<(), sqlx::Error> {
    if changed.is_empty() {
        return Ok(());
    }
    let (keys, arrivals): (Vec<&str>, Vec<i64>) = changed.into_iter().unzip();
    sqlx::query!(
        "insert into queue.rate_limits (key, tat_ns)
         select * from unnest($1::text[], $2::bigint[])
         on conflict (key) do update set tat_ns = excluded.tat_ns",
        &keys as &[&str],
        &arrivals,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A decision that was made at the time `now`, in the caller's terms.
fn admission(decision: Decision, now: u64) -> (Admission, DateTime<Utc>) {
    let (Decision::Admitted { slot: at, .. } | Decision::Refused { slot: at }) = decision;
    let wait = Duration::from_nanos(at.saturating_sub(now));
    let slot = DateTime::from_timestamp_nanos(bigint(at));
    let admission = match decision {
        Decision::Refused { .. } => Admission::Refused { wait },
        Decision::Admitted { .. } if at <= now => Admission::Now,
        Decision::Admitted { .. } => Admission::At { wait, slot },
    };
    (admission, slot)
}

fn bigint(nanos: u64) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}
