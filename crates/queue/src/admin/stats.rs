//! The state of each kind of job.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::{
    counts::{Estimates, JobCount, estimate_dead, estimate_live},
    error::AdminError,
    kinds,
    limits::STALE_SECONDS,
    state::JobState,
};

/// The most jobs of a kind and state that are counted. Beyond that, they are estimated.
const COUNTED: i64 = 5000;

/// The oldest ready job is the oldest of this many at the front. Because of priorities and lanes,
/// the order of the index is not the order of age.
const HEAD: i64 = 200;

/// The state of the queue.
#[derive(Debug, Clone, Serialize)]
pub struct QueueStats {
    /// When this was read, by the database's clock.
    pub at: DateTime<Utc>,
    /// Each kind, in order of its name.
    pub kinds: Vec<KindStats>,
}

/// The state of one kind.
#[derive(Debug, Clone, Serialize)]
pub struct KindStats {
    /// The kind.
    pub kind: String,
    /// Jobs that a worker may claim now.
    pub available: JobCount,
    /// Jobs that a worker holds.
    pub running: JobCount,
    /// Jobs that wait for their time.
    pub scheduled: JobCount,
    /// Dead letters.
    pub dead: JobCount,
    /// Since when the oldest available job has been ready, as far as the front of the queue shows.
    pub oldest_available_since: Option<DateTime<Utc>>,
    /// Jobs completed in the last full minute.
    pub completed_last_minute: i64,
    /// Jobs completed in the last hour.
    pub completed_last_hour: i64,
    /// Attempts failed in the last hour.
    pub failed_last_hour: i64,
    /// Processes that run this kind.
    pub workers: i64,
    /// Since when the kind is paused.
    pub paused_at: Option<DateTime<Utc>>,
    /// The reason that the operator gave.
    pub paused_reason: Option<String>,
}

/// Reads the state of all kinds.
pub async fn stats(conn: &mut PgConnection) -> Result<QueueStats, AdminError> {
    let timers = TimerCounts::look(conn).await?;
    // A sample is read only if something cannot be counted.
    let mut live = Estimates::new();
    if timers.more {
        live = estimate_live(conn).await?;
    }
    let mut names = kinds::known(conn).await?;
    names.extend(timers.by_kind.keys().cloned());
    names.extend(live.keys().map(|(kind, _)| kind.clone()));
    names.sort_unstable();
    names.dedup();
    let rows = sqlx::query!(
        r#"
        select known.kind as "kind!",
            (select count(*) from (
                select from queue.jobs where ready and kind = known.kind limit $2
             ) as bounded) as "available!",
            (select min(run_at) from (
                select run_at from queue.jobs where ready and kind = known.kind order by position, id limit $3
             ) as head) as oldest,
            (select count(*) from (
                select from queue.dead_jobs where kind = known.kind limit $2
             ) as bounded) as "dead!",
            coalesce(recent.minute, 0)::bigint as "minute!", coalesce(recent.hour, 0)::bigint as "hour!",
            coalesce(recent.failed, 0)::bigint as "failed!",
            (select count(*) from queue.workers
             where known.kind = any(kinds) and seen_at > now() - make_interval(secs => $4)) as "workers!",
            paused.paused_at as "paused_at?", paused.reason as "reason?"
        from unnest($1::text[]) as known(kind)
        left join queue.paused on paused.kind = known.kind
        cross join lateral (
            select sum(completed) filter (where minute = date_trunc('minute', now()) - interval '1 minute') as minute,
                sum(completed) as hour, sum(failed) as failed
            from queue.throughput
            where kind = known.kind and minute > date_trunc('minute', now()) - interval '1 hour'
        ) as recent
        order by known.kind
        "#,
        &names,
        COUNTED + 1,
        HEAD,
        STALE_SECONDS,
    )
    .fetch_all(&mut *conn)
    .await?;

    if live.is_empty() && rows.iter().any(|row| row.available > COUNTED) {
        live = estimate_live(conn).await?;
    }
    let mut dead = Estimates::new();
    if rows.iter().any(|row| row.dead > COUNTED) {
        dead = estimate_dead(conn).await?;
    }
    let at = sqlx::query_scalar!(r#"select now() as "now!""#)
        .fetch_one(conn)
        .await?;
    let kinds = rows.into_iter().map(|row| KindStats {
        available: bounded(row.available, &live, &row.kind, JobState::Available),
        running: timers.running(&row.kind),
        scheduled: timers.scheduled(&row.kind, &live),
        dead: bounded(row.dead, &dead, &row.kind, JobState::Dead),
        oldest_available_since: row.oldest,
        completed_last_minute: row.minute,
        completed_last_hour: row.hour,
        failed_last_hour: row.failed,
        workers: row.workers,
        paused_at: row.paused_at,
        paused_reason: row.reason,
        kind: row.kind,
    });
    Ok(QueueStats {
        at,
        kinds: kinds.collect(),
    })
}

fn bounded(counted: i64, estimates: &Estimates, kind: &str, state: JobState) -> JobCount {
    if counted <= COUNTED {
        return JobCount::exact(counted);
    }
    JobCount::about(estimates.get(&(kind.to_owned(), state)).copied(), COUNTED)
}

/// The timers that run out first. As a lease is short, the timers of running jobs are among them,
/// unless very many jobs are due very soon.
struct TimerCounts {
    /// The numbers of running and of scheduled jobs.
    by_kind: BTreeMap<String, (i64, i64)>,
    /// True if there are more timers than were counted.
    more: bool,
}

impl TimerCounts {
    async fn look(conn: &mut PgConnection) -> Result<Self, AdminError> {
        let rows = sqlx::query!(
            r#"select kind, count(*) filter (where locked_by is not null) as "running!",
                   count(*) filter (where locked_by is null) as "scheduled!"
               from (select kind, locked_by from queue.jobs where not ready order by run_at limit $1) as bounded
               group by kind"#,
            COUNTED + 1,
        )
        .fetch_all(conn)
        .await?;
        let total: i64 = rows.iter().map(|row| row.running + row.scheduled).sum();
        let rows = rows.into_iter();
        Ok(Self {
            by_kind: rows
                .map(|row| (row.kind, (row.running, row.scheduled)))
                .collect(),
            more: total > COUNTED,
        })
    }

    fn running(&self, kind: &str) -> JobCount {
        let counted = self.by_kind.get(kind).map_or(0, |counted| counted.0);
        if self.more {
            JobCount::at_least(counted)
        } else {
            JobCount::exact(counted)
        }
    }

    fn scheduled(&self, kind: &str, estimates: &Estimates) -> JobCount {
        let counted = self.by_kind.get(kind).map_or(0, |counted| counted.1);
        if self.more {
            let estimate = estimates.get(&(kind.to_owned(), JobState::Scheduled));
            JobCount::about(estimate.copied(), counted)
        } else {
            JobCount::exact(counted)
        }
    }
}
