//! Claiming ready jobs: one statement for all kinds, each bounded by its free slots.
//!
//! Nothing here may drop a claim once it was sent: rows that the database has leased to us but we do not know of would
//! wait a lease for nothing and be charged an attempt.

use std::{cmp::Ordering, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Heartbeat, JobId, RunnerSettings, ack::Acks, backend::Feed, execute::Kind, lease::Leases,
    metrics, scan_cursor::ScanCursor,
};

/// The longest that any statement of ours may take. Without it a connection whose other end has vanished would hold its
/// task for as long as TCP takes to notice.
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait after the first error of the database, and at most.
pub(crate) const DATABASE_BACKOFF: (Duration, Duration) =
    (Duration::from_millis(100), Duration::from_secs(2));

/// What a claim may cost beside its scan: something for itself, and something for each row.
const FIXED_COST: Duration = Duration::from_millis(1);
const ROW_COST: Duration = Duration::from_micros(40);

/// With more outcomes than this unwritten, nothing is claimed: memory is finite.
const MAX_UNWRITTEN: usize = 10_000;

/// A job that this process holds.
#[derive(Debug, Clone)]
pub(crate) struct Claimed {
    pub(crate) id: JobId,
    pub(crate) claim: i32,
    pub(crate) attempt: u16,
    pub(crate) max_attempts: u16,
    pub(crate) args: String,
    pub(crate) trace: Option<String>,
    pub(crate) position: DateTime<Utc>,
    /// Since when it was ready, by this process's clock, where that is known.
    pub(crate) ready_at: Option<Instant>,
}

impl Claimed {
    /// Where it stood in the queue.
    fn place(&self) -> (DateTime<Utc>, JobId) {
        (self.position, self.id)
    }
}

impl Ord for Claimed {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialOrd for Claimed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Claimed {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Claimed {}

/// A kind, where its claimed jobs go, and where its scans begin.
pub(crate) struct Source {
    pub(crate) kind: Arc<Kind>,
    pub(crate) feed: Feed,
    pub(crate) floor: ScanCursor,
}

/// Claims for one process.
pub(crate) struct Claimer {
    pub(crate) pool: PgPool,
    pub(crate) settings: RunnerSettings,
    pub(crate) sources: Vec<Source>,
    pub(crate) leases: Leases,
    pub(crate) acks: Acks,
    /// Notified when a slot was freed.
    pub(crate) room: Arc<Notify>,
    /// Notified when there may be new jobs.
    pub(crate) arrivals: Arc<Notify>,
    /// Whether notifications reach us.
    pub(crate) listening: watch::Receiver<bool>,
}

impl Claimer {
    /// Claims whenever a slot is free, until `stop`. What a claim in flight at that moment brings goes to the feeds, to be
    /// given back from there.
    pub(crate) async fn run(mut self, stop: CancellationToken, heartbeat: Heartbeat) {
        let (first, longest) = DATABASE_BACKOFF;
        let mut backoff = first;
        let mut notified = false;
        while !stop.is_cancelled() {
            heartbeat.beat();
            let behind = self.acks.waiting() > MAX_UNWRITTEN;
            let wanted: Vec<usize> = self
                .sources
                .iter()
                .map(|s| if behind { 0 } else { s.kind.wanted(notified) })
                .collect();
            notified = false;
            if wanted.iter().all(|wanted| *wanted == 0) {
                tokio::select! {
                    () = self.room.notified() => {}
                    () = self.arrivals.notified(), if !behind => notified = true,
                    () = stop.cancelled() => {}
                    never = heartbeat.keep_beating() => match never {},
                }
                continue;
            }
            let pause = match self.claim(&wanted).await {
                Ok(counts) => {
                    backoff = first;
                    if wanted
                        .iter()
                        .zip(&counts)
                        .any(|(wanted, got)| *got > 0 && got == wanted)
                    {
                        continue; // a kind got all it asked for: there may be more
                    }
                    if *self.listening.borrow() {
                        self.settings.slow_poll
                    } else {
                        self.settings.poll
                    }
                }
                Err(error) => {
                    let pause = backoff;
                    backoff = (backoff * 2).min(longest);
                    tracing::warn!(%error, retry_ms = pause.as_millis(), "cannot claim jobs");
                    pause
                }
            };
            let full = wanted.contains(&0);
            tokio::select! {
                () = heartbeat.sleep(pause) => {}
                () = self.arrivals.notified(), if backoff == first => notified = true,
                () = self.room.notified(), if full => {} // a kind that could not be asked for now can
                () = stop.cancelled() => {}
            }
        }
    }

    /// Claims at most `wanted[i]` jobs of kind i and hands them over; answers how many it got of each.
    async fn claim(&mut self, wanted: &[usize]) -> Result<Vec<usize>, sqlx::Error> {
        let names: Vec<String> = self
            .sources
            .iter()
            .map(|s| s.kind.name.to_owned())
            .collect();
        let limits: Vec<i64> = wanted
            .iter()
            .map(|n| i64::try_from(*n).unwrap_or(i64::MAX))
            .collect();
        let floors: Vec<_> = self
            .sources
            .iter()
            .map(|source| source.floor.start())
            .collect();
        let sent = Instant::now();
        let mut rows = claim_ready(&self.pool, &self.settings, &names, &limits, &floors).await?;
        metrics::claim(sent.elapsed());

        let server_us = rows
            .iter()
            .map(|row| row.server_us)
            .max()
            .unwrap_or_default();
        let expected = FIXED_COST + ROW_COST * u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let overhead = Duration::from_micros(server_us.unsigned_abs()).saturating_sub(expected);
        rows.sort_unstable_by(|a, b| a.job.cmp(&b.job)); // `returning` keeps no order
        let mut counts = vec![0; self.sources.len()];
        let mut reached = vec![None; self.sources.len()];
        for row in rows {
            let Some(at) = self.sources.iter().position(|s| s.kind.name == row.kind) else {
                continue; // cannot happen: only our kinds were asked for
            };
            counts[at] += 1;
            reached[at] = Some(row.job.position);
            self.leases.hold(&row.job, sent);
            self.sources[at].kind.take_slot();
            self.sources[at].feed.push(row.job);
        }
        for (at, source) in self
            .sources
            .iter_mut()
            .enumerate()
            .filter(|(at, _)| wanted[*at] > 0)
        {
            source.floor.note(floors[at], reached[at], overhead);
        }
        Ok(counts)
    }
}

/// A claimed row.
pub(crate) struct Row {
    pub(crate) kind: String,
    /// What the whole statement took so far.
    server_us: i64,
    pub(crate) job: Claimed,
}

/// Claims at most `limits[i]` ready jobs of `kinds[i]`, beginning at `floors[i]`. Answers them in no order.
pub(crate) async fn claim_ready(
    pool: &PgPool,
    settings: &RunnerSettings,
    kinds: &[String],
    limits: &[i64],
    floors: &[Option<DateTime<Utc>>],
) -> Result<Vec<Row>, sqlx::Error> {
    let sent = Instant::now();
    // `ctid = any(array(…))` and not a join: a join made the planner scan the whole table. Where a lane has moved the
    // position away from when the job became ready, only the first claim knows since when that is.
    let statement = sqlx::query!(
        r#"
        update queue.jobs as j
        set ready = false, run_at = now() + make_interval(secs => $4), claimed_at = now(),
            claim = j.claim + 1, attempts = j.attempts + 1, locked_by = $5
        where j.ctid = any(array(
            select ready.ctid
            from unnest($1::text[], $2::bigint[], $3::timestamptz[]) as wanted(kind, slots, floor),
            lateral (
                select ctid from queue.jobs
                where ready and kind = wanted.kind
                    and position >= coalesce(wanted.floor, '-infinity')
                order by position, id
                limit wanted.slots
                for update skip locked
            ) as ready
            where wanted.slots > 0
                and not exists (select from queue.paused where paused.kind = wanted.kind)
        ))
        returning j.id, j.kind, j.position, j.claim, j.attempts, j.max_attempts,
            j.args::text as "args!", j.trace,
            (extract(epoch from clock_timestamp() - statement_timestamp()) * 1e6)::bigint
                as "server_us!",
            (extract(epoch from now() - case
                when j.lane is null then j.position - j.priority * interval '10 minutes'
                when j.claim = 1 then j.created_at
            end))::float8 as waited_s
        "#,
        kinds,
        limits,
        floors as &[Option<DateTime<Utc>>],
        settings.lease.as_secs_f64(),
        &settings.worker,
    )
    .fetch_all(pool);
    let rows = timeout(STATEMENT_TIMEOUT, statement)
        .await
        .map_err(|_| sqlx::Error::PoolTimedOut)??;
    let rows = rows.into_iter().map(|row| Row {
        kind: row.kind,
        server_us: row.server_us,
        job: Claimed {
            id: row.id,
            claim: row.claim,
            attempt: row.attempts.unsigned_abs(),
            max_attempts: row.max_attempts.unsigned_abs(),
            args: row.args,
            trace: row.trace,
            position: row.position,
            ready_at: row.waited_s.and_then(|waited| {
                sent.checked_sub(Duration::try_from_secs_f64(waited.max(0.0)).ok()?)
            }),
        },
    });
    Ok(rows.collect())
}
