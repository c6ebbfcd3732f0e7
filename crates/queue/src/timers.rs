//! Timers: what has waited long enough becomes ready again. Scheduled jobs whose time has come, failed ones after their
//! backoff, and those whose worker has died and left its lease to run out.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Heartbeat,
    claim::{DATABASE_BACKOFF, STATEMENT_TIMEOUT},
    scan_cursor::ScanCursor,
    schedule::Schedules,
};

/// The most jobs made ready in one statement.
const BATCH: i64 = 1000;

/// The longest and the shortest time between two looks. A worker that puts a timer shorter than the longest has to say
/// so: see [`Timers::nudge`].
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(5));

/// How long a transaction that sets a timer may last for the timer to be found at once. Others are found when the index
/// is next scanned from its front.
const LONGEST_TRANSACTION: TimeDelta = TimeDelta::seconds(2);

/// Watches the timers for one process.
pub(crate) struct Timers {
    pub(crate) pool: PgPool,
    pub(crate) schedules: Schedules,
    /// Notified when jobs became ready.
    pub(crate) arrivals: Arc<Notify>,
    /// Notified when a timer was set here that may be shorter than the pause.
    pub(crate) nudge: Arc<Notify>,
}

/// What a look found.
struct Found {
    ready: i64,
    /// How long until the next timer runs out, in seconds.
    next_s: Option<f64>,
    /// A schedule is due.
    schedule_due: bool,
}

impl Timers {
    /// Watches until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken, heartbeat: Heartbeat) {
        let (longest, shortest) = PAUSE;
        let mut floor = ScanCursor::new();
        let mut schedules_stored = false;
        while !stop.is_cancelled() {
            heartbeat.beat();
            if !schedules_stored {
                let stored = timeout(STATEMENT_TIMEOUT, self.schedules.store(&self.pool)).await;
                schedules_stored = matches!(stored, Ok(Ok(())));
            }
            heartbeat.beat();
            let pause = match self.pass(&mut floor).await {
                Ok(Duration::ZERO) => continue,
                Ok(next) => next.clamp(shortest, longest),
                Err(error) => {
                    tracing::warn!(%error, "cannot look at timers");
                    DATABASE_BACKOFF.1
                }
            };
            tokio::select! {
                () = heartbeat.sleep(pause) => {}
                () = self.nudge.notified() => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Makes ready what is due and enqueues what the schedules say; answers how long there is nothing to do.
    pub(crate) async fn pass(&self, floor: &mut ScanCursor) -> Result<Duration, sqlx::Error> {
        let found = self.look(floor).await?;
        if found.schedule_due {
            match timeout(STATEMENT_TIMEOUT, self.schedules.enqueue_due(&self.pool)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "cannot enqueue scheduled jobs"),
                Err(error) => tracing::warn!(%error, "cannot enqueue scheduled jobs"),
            }
        }
        if found.ready > 0 || found.schedule_due {
            self.arrivals.notify_one();
        }
        if found.ready == BATCH {
            return Ok(Duration::ZERO);
        }
        let next = Duration::from_secs_f64(found.next_s.unwrap_or(3600.0).clamp(0.0, 3600.0));
        Ok(next.max(Duration::from_nanos(1)))
    }

    /// Makes ready what is due, and asks for the next timer and the schedules in the same statement.
    async fn look(&self, floor: &mut ScanCursor) -> Result<Found, sqlx::Error> {
        let start = floor.start();
        let sent = Instant::now();
        // Those of a lane stand behind each other, as when they are enqueued: many that come back at once hold up no
        // other lane.
        let statement = sqlx::query!(
            r#"
            with due as (
                select ctid, lane, run_at from queue.jobs
                where not ready and run_at <= now() and run_at >= coalesce($1::timestamptz, '-infinity')
                order by run_at limit $2
                for update skip locked
            ),
            placed as (
                select ctid, row_number() over (partition by lane order by run_at) - 1 as place from due
            ),
            found as materialized (
                select array_agg(ctid) as ctids, array_agg(place) as places from placed
            ),
            made_ready as (
                update queue.jobs as j
                set ready = true, locked_by = null,
                    position = case
                        when j.lane is null then j.run_at + j.priority * interval '10 minutes'
                        else queue.new_position(j.lane, j.priority) + interval '1 second'
                            * (select places[array_position(ctids, j.ctid)] from found)
                    end
                where j.ctid = any((select ctids from found)::tid[])
                returning 1
            )
            select (select count(*) from made_ready) as "ready!",
                (select extract(epoch from min(run_at) - now())::float8 from queue.jobs
                 where not ready and run_at > now()) as next_s,
                exists (select from queue.schedules
                        where name = any($3) and next_run_at <= now()) as "schedule_due!",
                now() as "now!"
            "#,
            start,
            BATCH,
            self.schedules.names(),
        )
        .fetch_one(&self.pool);
        let row = timeout(STATEMENT_TIMEOUT, statement)
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)??;
        // Timers lie in the future when they are set, so what is behind us by more than a transaction is done with.
        let reached: DateTime<Utc> = row.now - LONGEST_TRANSACTION;
        let reached = (row.ready < BATCH).then_some(reached);
        floor.note(start, reached, sent.elapsed());
        Ok(Found {
            ready: row.ready,
            next_s: row.next_s,
            schedule_due: row.schedule_due,
        })
    }
}
