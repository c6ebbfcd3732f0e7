//! Makes jobs ready whose time has come: scheduled jobs, failed jobs after their backoff, and jobs
//! whose lease has run out because their worker died.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    database::{LONGEST_PAUSE, STATEMENT_TIMEOUT, StatementError, StatementLimit, within},
    pool::Pool,
    scan_cursor::ScanCursor,
    schedule::Schedules,
    watchdog::Heartbeat,
};

/// The most jobs made ready in one statement.
const BATCH: i64 = 1000;

/// The longest time between two scans. A worker that sets a shorter timer notifies
/// [`Timers::timer_set`].
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The shortest time between two scans.
const SHORTEST_WAIT: Duration = Duration::from_millis(5);

/// A transaction that sets a timer may take this long, and the timer is still found at once. Later
/// timers are found by the next scan from the front of the index.
const LONGEST_TRANSACTION: TimeDelta = TimeDelta::seconds(2);

/// Scans the timers for one process.
pub(crate) struct Timers {
    pub(crate) pool: Pool,
    pub(crate) schedules: Schedules,
    /// Notified when jobs became ready.
    pub(crate) arrivals: Arc<Notify>,
    /// Notified when this process has set a timer, which may be a short one.
    pub(crate) timer_set: Arc<Notify>,
}

/// The result of one scan.
struct TimerScan {
    /// The number of jobs that it made ready.
    made_ready: i64,
    /// The time until the next timer, in seconds.
    next_s: Option<f64>,
    /// True if a schedule is due.
    schedule_due: bool,
}

impl Timers {
    /// Scans until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken, heartbeat: Heartbeat) {
        let (mut cursor, mut limit) = (ScanCursor::new(), StatementLimit::default());
        let mut schedules_stored = false;
        while !stop.is_cancelled() {
            heartbeat.beat();
            if !schedules_stored {
                let stored = within(STATEMENT_TIMEOUT, self.schedules.store(&self.pool)).await;
                schedules_stored = stored.is_ok();
            }
            heartbeat.beat();
            let pause = match self.pass(&mut cursor, &mut limit).await {
                Ok(Duration::ZERO) => continue,
                Ok(next) => next.clamp(SHORTEST_WAIT, LONGEST_WAIT),
                Err(error) => {
                    tracing::warn!(%error, "cannot scan the timers");
                    LONGEST_PAUSE
                }
            };
            tokio::select! {
                () = heartbeat.sleep(pause) => {}
                () = self.timer_set.notified() => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Makes due jobs ready and enqueues the jobs of due schedules. Returns how long there is
    /// nothing to do.
    pub(crate) async fn pass(
        &self,
        cursor: &mut ScanCursor,
        limit: &mut StatementLimit,
    ) -> Result<Duration, StatementError> {
        let found = self.scan(cursor, limit).await?;
        if found.schedule_due {
            match timeout(STATEMENT_TIMEOUT, self.schedules.enqueue_due(&self.pool)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "cannot enqueue scheduled jobs"),
                Err(error) => tracing::warn!(%error, "cannot enqueue scheduled jobs"),
            }
        }
        if found.made_ready > 0 || found.schedule_due {
            self.arrivals.notify_one();
        }
        if found.made_ready == BATCH {
            return Ok(Duration::ZERO);
        }
        let next = Duration::from_secs_f64(found.next_s.unwrap_or(3600.0).clamp(0.0, 3600.0));
        Ok(next.max(Duration::from_nanos(1)))
    }

    /// Makes due jobs ready, and reads the next timer and the schedules in the same statement.
    async fn scan(
        &self,
        cursor: &mut ScanCursor,
        limit: &mut StatementLimit,
    ) -> Result<TimerScan, StatementError> {
        let start = cursor.start();
        let sent = Instant::now();
        // Jobs of a lane get positions behind each other, as when they are enqueued. So many jobs
        // of one lane that become ready together do not delay other lanes.
        let statement = async {
            let mut conn = self.pool.acquire().await?;
            let row = sqlx::query!(
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
        .fetch_one(&mut *conn)
        .await?;
            conn.put_back();
            Ok::<_, sqlx::Error>(row)
        };
        let row = limit.within(STATEMENT_TIMEOUT, statement).await?;
        // A timer lies in the future when it is set. So no timer appears that is older than one
        // transaction.
        let reached: DateTime<Utc> = row.now - LONGEST_TRANSACTION;
        let reached = (row.ready < BATCH).then_some(reached);
        cursor.note(start, reached, sent.elapsed());
        Ok(TimerScan {
            made_ready: row.ready,
            next_s: row.next_s,
            schedule_due: row.schedule_due,
        })
    }
}
