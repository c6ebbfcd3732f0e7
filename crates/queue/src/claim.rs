//! Claims ready jobs: one statement for all kinds, each bounded by its free permits.
//!
//! Once the statement was sent, its result must not be dropped. Rows that the database has leased
//! to this process, and that the process does not know of, would wait for the end of the lease and
//! be charged an attempt.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    ack::Acks,
    attempt::Fence,
    claimed::ClaimedJob,
    database::{STATEMENT_TIMEOUT, StatementError, StatementLimit, retry_pause},
    feed::JobFeed,
    kind::JobKind,
    lease::Leases,
    metrics,
    pool::Pool,
    scan_cursor::ScanCursor,
    settings::RunnerSettings,
    watchdog::Heartbeat,
};

/// What a claim may take in the database apart from passing dead index entries: this much, and this
/// much for each row.
const FIXED_COST: Duration = Duration::from_millis(1);
const ROW_COST: Duration = Duration::from_micros(40);

/// While more outcomes than this are not written, nothing is claimed. It bounds the memory that
/// outcomes take.
const MAX_UNWRITTEN: usize = 10_000;

/// A kind, the feed of its worker, and where its next scan begins.
pub(crate) struct ClaimSource {
    pub(crate) kind: Arc<JobKind>,
    pub(crate) feed: JobFeed,
    pub(crate) cursor: ScanCursor,
}

/// Claims for one process.
pub(crate) struct Claimer {
    pub(crate) pool: Pool,
    pub(crate) settings: RunnerSettings,
    pub(crate) sources: Vec<ClaimSource>,
    pub(crate) leases: Leases,
    pub(crate) acks: Acks,
    /// Notified when a permit was freed or outcomes were written.
    pub(crate) room: Arc<Notify>,
    /// Notified when there may be new jobs.
    pub(crate) arrivals: Arc<Notify>,
    /// True while notifications arrive.
    pub(crate) listening: watch::Receiver<bool>,
    pub(crate) limit: StatementLimit,
}

impl Claimer {
    /// Claims whenever a permit is free, until `stop`. Jobs of a claim that is in flight at that
    /// moment go to the feeds. The runner gives them back from there.
    pub(crate) async fn run(mut self, stop: CancellationToken, heartbeat: Heartbeat) {
        let mut errors = 0;
        let mut notified = false;
        while !stop.is_cancelled() {
            heartbeat.beat();
            let behind = self.acks.unwritten() > MAX_UNWRITTEN;
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
                    errors = 0;
                    if wanted
                        .iter()
                        .zip(&counts)
                        .any(|(wanted, got)| *got > 0 && got == wanted)
                    {
                        continue; // a kind got all that was asked for: there may be more
                    }
                    if *self.listening.borrow() {
                        self.settings.slow_poll
                    } else {
                        self.settings.poll
                    }
                }
                Err(error) => {
                    errors += 1;
                    let pause = retry_pause(errors);
                    tracing::warn!(%error, retry_ms = pause.as_millis(), "cannot claim jobs");
                    pause
                }
            };
            let full = wanted.contains(&0);
            tokio::select! {
                () = heartbeat.sleep(pause) => {}
                () = self.arrivals.notified(), if errors == 0 => notified = true,
                () = self.room.notified(), if full => {} // a kind that was left out now has a free permit
                () = stop.cancelled() => {}
            }
        }
    }

    /// Claims at most `wanted[i]` jobs of kind i and hands them to the workers. Returns how many it
    /// got of each.
    async fn claim(&mut self, wanted: &[usize]) -> Result<Vec<usize>, StatementError> {
        let names: Vec<String> = self
            .sources
            .iter()
            .map(|s| s.kind.name.to_owned())
            .collect();
        let limits: Vec<i64> = wanted
            .iter()
            .map(|n| i64::try_from(*n).unwrap_or(i64::MAX))
            .collect();
        let starts: Vec<_> = self
            .sources
            .iter()
            .map(|source| source.cursor.start())
            .collect();
        let sent = Instant::now();
        let mut rows = claim_ready(
            &self.pool,
            &mut self.limit,
            &self.settings,
            &names,
            &limits,
            &starts,
        )
        .await?;
        metrics::claim(sent.elapsed());
        for source in &self.sources {
            source.kind.measure_claim(sent.elapsed());
        }

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
                tracing::error!(
                    job.id = row.job.fence.job,
                    job.kind = row.kind,
                    "claimed a job of a kind that was not asked for: it waits for the end of its lease"
                );
                continue;
            };
            counts[at] += 1;
            reached[at] = Some(row.job.position);
            self.leases.hold(&row.job, sent);
            self.sources[at].kind.take_permit();
            self.sources[at].feed.push(row.job);
        }
        for (at, source) in self
            .sources
            .iter_mut()
            .enumerate()
            .filter(|(at, _)| wanted[*at] > 0)
        {
            source.cursor.note(starts[at], reached[at], overhead);
        }
        Ok(counts)
    }
}

/// A claimed row.
pub(crate) struct ClaimedRow {
    pub(crate) kind: String,
    /// How long the whole statement had taken at this row, in microseconds.
    server_us: i64,
    pub(crate) job: ClaimedJob,
}

/// Claims at most `limits[i]` ready jobs of `kinds[i]`, from the position `starts[i]` on. Returns
/// them in no order.
pub(crate) async fn claim_ready(
    pool: &Pool,
    limit: &mut StatementLimit,
    settings: &RunnerSettings,
    kinds: &[String],
    limits: &[i64],
    starts: &[Option<DateTime<Utc>>],
) -> Result<Vec<ClaimedRow>, StatementError> {
    let sent = Instant::now();
    // `ctid = any(array(…))` and not a join: the planner ran a join as a scan of the whole table.
    // The position of a job in a lane is not the time at which it became ready, so there only the
    // first claim knows that time.
    let statement = async {
        let mut conn = pool.acquire().await?;
        let rows = sqlx::query!(
        r#"
        update queue.jobs as j
        set ready = false, run_at = now() + make_interval(secs => $4), claimed_at = now(),
            claim = j.claim + 1, attempts = j.attempts + 1, locked_by = $5
        where j.ctid = any(array(
            select ready.ctid
            from unnest($1::text[], $2::bigint[], $3::timestamptz[]) as wanted(kind, most, first_position),
            lateral (
                select ctid from queue.jobs
                where ready and kind = wanted.kind
                    and position >= coalesce(wanted.first_position, '-infinity')
                order by position, id
                limit wanted.most
                for update skip locked
            ) as ready
            where wanted.most > 0
                and not exists (select from queue.paused where paused.kind = wanted.kind)
        ))
        returning j.id, j.kind, j.position, j.claim, j.attempts, j.max_attempts, j.priority, j.unique_key,
            j.args::text as "args!", j.trace, j.claimed_at as "claimed_at!",
            (extract(epoch from clock_timestamp() - statement_timestamp()) * 1e6)::bigint
                as "server_us!",
            case
                when j.lane is null then j.position - j.priority * interval '10 minutes'
                when j.claim = 1 then j.created_at
            end as ready_since
        "#,
        kinds,
        limits,
        starts as &[Option<DateTime<Utc>>],
        settings.lease.as_secs_f64(),
        &settings.worker,
    )
    .fetch_all(&mut *conn)
    .await?;
        conn.put_back();
        Ok::<_, sqlx::Error>(rows)
    };
    let rows = limit.within(STATEMENT_TIMEOUT, statement).await?;
    let rows = rows.into_iter().map(|row| ClaimedRow {
        kind: row.kind,
        server_us: row.server_us,
        job: ClaimedJob {
            fence: Fence {
                job: row.id,
                claim: row.claim,
            },
            attempt: row.attempts.unsigned_abs(),
            max_attempts: row.max_attempts.unsigned_abs(),
            priority: row.priority,
            unique_key: row.unique_key,
            args: row.args,
            trace: row.trace,
            position: row.position,
            claimed_at: row.claimed_at,
            ready_since: row.ready_since,
            ready_at: row.ready_since.and_then(|ready_since| {
                let waited = row.claimed_at - ready_since;
                sent.checked_sub(waited.to_std().unwrap_or_default())
            }),
        },
    });
    Ok(rows.collect())
}
