//! Slots without a lock: keys are read, slots are decided on, and the caller writes both what is taken and what it is
//! taken for in one statement, under the condition that nobody has changed the keys in between.
//!
//! A transaction that locks keys holds them while its client thinks, and for as many round trips as it makes. A user who
//! sends much would hold up all processes that way. Here a row is locked for the moment of one statement only.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{
    Admission, RateLimit, admission, bigint,
    gcra::{Decision, Gcra},
};

/// Keys as they were at a moment.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    keys: BTreeMap<String, Key>,
}

#[derive(Debug, Clone, Copy)]
struct Key {
    /// Its number as it was read; 0 where there was none.
    before: u64,
    /// The same, with what was decided since.
    after: u64,
    /// When that was, in nanoseconds since the Unix epoch.
    now: u64,
}

/// What was decided on, to be written by `queue.take`: a key changes only if its number is what it was before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The keys, in their order.
    pub keys: Vec<String>,
    /// Their numbers as they were read.
    pub before: Vec<i64>,
    /// Their numbers as they are to be.
    pub after: Vec<i64>,
}

impl Seen {
    /// Looks at these keys. Locks nothing.
    pub async fn read(conn: &mut PgConnection, keys: &[String]) -> Result<Self, sqlx::Error> {
        let distinct: BTreeSet<&String> = keys.iter().collect();
        let distinct: Vec<String> = distinct.into_iter().cloned().collect();
        let rows = sqlx::query!(
            r#"select key as "key!", tat_ns as "tat_ns!", now as "now!" from queue.look($1)"#,
            &distinct,
        )
        .fetch_all(conn)
        .await?;
        let mut seen = Self::default();
        for row in rows {
            seen.note(row.key, row.tat_ns, row.now);
        }
        Ok(seen)
    }

    /// Notes what a key was at a moment, in place of what was read and decided on.
    pub fn note(&mut self, key: String, number: i64, now: DateTime<Utc>) {
        let before = u64::try_from(number).unwrap_or(0);
        let now = u64::try_from(now.timestamp_micros()).unwrap_or(0);
        let now = now.saturating_mul(1000);
        let key_now = Key {
            before,
            after: before,
            now,
        };
        self.keys.insert(key, key_now);
    }

    /// Decides on the next event of a key. Answers with it when its slot begins, or would. Nothing of this holds before
    /// [`Self::changes`] are written.
    ///
    /// `None` for a key that was not looked at.
    pub fn take(&mut self, key: &str, limit: &RateLimit) -> Option<(Admission, DateTime<Utc>)> {
        let key = self.keys.get_mut(key)?;
        let decision = Gcra::new(limit).decide(key.after, key.now);
        if let Decision::Admitted { arrival, .. } = decision {
            key.after = arrival;
        }
        Some(admission(decision, key.now))
    }

    /// Nothing was read.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What was decided on since the keys were read.
    pub fn changes(&self) -> Changes {
        let mut changes = Changes::default();
        for (name, key) in self.keys.iter().filter(|(_, key)| key.after != key.before) {
            changes.keys.push(name.clone());
            changes.before.push(bigint(key.before));
            changes.after.push(bigint(key.after));
        }
        changes
    }
}

/// Forgets a key at once, as if it had never been used. For whoever erases what the key names. In a transaction it is to
/// be the only statement, or the last, which locks nothing that others lock before their keys.
pub async fn forget_key(conn: &mut PgConnection, key: &str) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!("delete from queue.rate_limits where key = $1", key)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Keys that begin with this, in their order, at most `most`, after the one named. For whoever has to find out which of
/// them nobody needs any more.
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
