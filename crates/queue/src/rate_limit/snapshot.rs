//! Reservations without a lock: the caller reads keys, decides, and writes what it has reserved and
//! what the reservations are for in one statement, on the condition that nobody has changed the
//! keys meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{
    admission::{Admission, admission, bigint},
    gcra::Gcra,
    limit::RateLimit,
};

/// Rate-limit keys as they were at a moment, with the reservations made since.
#[derive(Debug, Clone, Default)]
pub struct RateLimitSnapshot {
    keys: BTreeMap<String, KeySnapshot>,
}

#[derive(Debug, Clone, Copy)]
struct KeySnapshot {
    /// The key's number as it was read; 0 where there was none.
    before: u64,
    /// The number with the reservations made since.
    after: u64,
    /// When it was read, in nanoseconds since the Unix epoch.
    now: u64,
}

/// New numbers of keys, for `queue.update_rate_limits`: a key changes only if its number is still
/// the one that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RateLimitUpdates {
    /// The keys, in their order.
    pub keys: Vec<String>,
    /// Their numbers as they were read.
    pub before: Vec<i64>,
    /// Their new numbers.
    pub after: Vec<i64>,
}

impl RateLimitSnapshot {
    /// Reads these keys. Locks nothing.
    pub async fn read(conn: &mut PgConnection, keys: &[String]) -> Result<Self, sqlx::Error> {
        let distinct: BTreeSet<&String> = keys.iter().collect();
        let distinct: Vec<String> = distinct.into_iter().cloned().collect();
        let rows = sqlx::query!(
            r#"select key as "key!", tat_ns as "tat_ns!", now as "now!"
               from queue.read_rate_limits($1)"#,
            &distinct,
        )
        .fetch_all(conn)
        .await?;
        let mut snapshot = Self::default();
        for row in rows {
            snapshot.record(row.key, row.tat_ns, row.now);
        }
        Ok(snapshot)
    }

    /// Reads those of these keys that are not in it yet.
    pub async fn read_others(
        &mut self,
        conn: &mut PgConnection,
        keys: impl Iterator<Item = &String>,
    ) -> Result<(), sqlx::Error> {
        let others: Vec<String> = keys
            .filter(|key| !self.keys.contains_key(*key))
            .cloned()
            .collect();
        if !others.is_empty() {
            self.keys.extend(Self::read(conn, &others).await?.keys);
        }
        Ok(())
    }

    /// True if so many more events of a key may start now, and half of its burst is left for events
    /// that start meanwhile. False for a key that was not read.
    pub fn has_ample_room(&self, key: &str, events: u32, limit: &RateLimit) -> bool {
        let period = limit.counted_period();
        self.keys.get(key).is_some_and(|key| {
            let arrival = key.after.max(key.now) + period * u64::from(events);
            arrival <= key.now + period * u64::from(limit.burst.get()) / 2
        })
    }

    /// Records the number that a key has now, in place of what was read and reserved before.
    pub fn record(&mut self, key: String, number: i64, now: DateTime<Utc>) {
        let before = u64::try_from(number).unwrap_or(0);
        let snapshot = KeySnapshot {
            before,
            after: before,
            now: nanos(now),
        };
        self.keys.insert(key, snapshot);
    }

    /// Decides about the next event of a key. Returns with the decision when the event may start;
    /// for a refused one, when it could have started. It holds only once [`Self::updates`] are
    /// written.
    ///
    /// An event that comes late is decided as of the time `at` when it happened, so that it gets
    /// what it would have got then. Its reservation may be in the past: then it may start now. A
    /// time in the future counts as now. `None`: the event happens now.
    ///
    /// `None` for a key that was not read.
    ///
    /// A key says what is counted, and for whom: limits that count apart need different keys. It is
    /// a text of at most a few hundred bytes, and contains no personal data.
    pub fn reserve(
        &mut self,
        key: &str,
        at: Option<DateTime<Utc>>,
        limit: &RateLimit,
    ) -> Option<(Admission, DateTime<Utc>)> {
        let key = self.keys.get_mut(key)?;
        let at = at.map_or(key.now, |at| nanos(at).min(key.now));
        let decision = Gcra::new(limit).decide(key.after, at);
        if let Some(arrival) = decision.arrival() {
            key.after = arrival;
        }
        Some(admission(decision, key.now))
    }

    /// Returns whether no key was read.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the new numbers of the keys with reservations.
    pub fn updates(&self) -> RateLimitUpdates {
        let mut updates = RateLimitUpdates::default();
        for (name, key) in self.keys.iter().filter(|(_, key)| key.after != key.before) {
            updates.keys.push(name.clone());
            updates.before.push(bigint(key.before));
            updates.after.push(bigint(key.after));
        }
        updates
    }
}

/// Nanoseconds since the Unix epoch, in the database's resolution.
fn nanos(time: DateTime<Utc>) -> u64 {
    let micros = u64::try_from(time.timestamp_micros()).unwrap_or(0);
    micros.saturating_mul(1000)
}
