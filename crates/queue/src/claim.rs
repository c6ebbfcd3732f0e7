//! Claiming due jobs: one statement for all kinds, each bounded by its free slots.
//!
//! Nothing here may drop a claim once it was sent: rows that the database has leased to us but we do not know of would
//! wait a lease for nothing and be charged an attempt.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{JobId, Settings, ack::Acks, execute::Kind, lease::Leases};

/// The longest that any statement of ours may take. Without it a connection whose other end has vanished would hold its
/// task for as long as TCP takes to notice.
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait after the first error of the database, and at most.
pub(crate) const DATABASE_BACKOFF: (Duration, Duration) =
    (Duration::from_millis(100), Duration::from_secs(2));

/// A job that this process holds.
#[derive(Debug, Clone)]
pub(crate) struct Claimed {
    pub(crate) id: JobId,
    pub(crate) claim: i32,
    pub(crate) attempt: u16,
    pub(crate) max_attempts: u16,
    pub(crate) args: String,
}

/// Claims for one process.
pub(crate) struct Claimer {
    pub(crate) pool: PgPool,
    pub(crate) settings: Settings,
    pub(crate) kinds: Vec<(Arc<Kind>, mpsc::UnboundedSender<Claimed>)>,
    pub(crate) leases: Leases,
    pub(crate) acks: Acks,
    pub(crate) room: Arc<tokio::sync::Notify>,
}

impl Claimer {
    /// Claims whenever a slot is free, until `stop`. What a claim in flight at that moment brings is given back.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let (first, longest) = DATABASE_BACKOFF;
        let mut backoff = first;
        while !stop.is_cancelled() {
            let wanted: Vec<_> = self
                .kinds
                .iter()
                .map(|(kind, _)| kind.free_slots())
                .collect();
            if wanted.iter().all(|free| *free == 0) {
                tokio::select! { () = self.room.notified() => {} () = stop.cancelled() => {} }
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
                    self.settings.poll
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
                () = tokio::time::sleep(pause) => {}
                () = self.room.notified(), if full => {} // a kind that could not be asked for now can
                () = stop.cancelled() => {}
            }
        }
        // Dropping `self.kinds` here closes the channels: nothing more is coming.
    }

    /// Claims at most `wanted[i]` jobs of kind i and hands them over; answers how many it got of each.
    async fn claim(&self, wanted: &[usize]) -> Result<Vec<usize>, sqlx::Error> {
        let names: Vec<String> = self.kinds.iter().map(|(k, _)| k.name.to_owned()).collect();
        let limits: Vec<i64> = wanted
            .iter()
            .map(|n| i64::try_from(*n).unwrap_or(i64::MAX))
            .collect();
        let sent = tokio::time::Instant::now();
        // `ctid = any(array(…))` and not a join: a join made the planner scan the whole table.
        let statement = sqlx::query!(
            r#"
            update queue.jobs as j
            set run_at = now() + make_interval(secs => $3), claim = j.claim + 1,
                attempts = j.attempts + 1, locked_by = $4
            where j.ctid = any(array(
                select due.ctid
                from unnest($1::text[], $2::bigint[]) as wanted(kind, slots),
                lateral (
                    select ctid from queue.jobs
                    where kind = wanted.kind and run_at <= now()
                    order by run_at, id
                    limit wanted.slots
                    for update skip locked
                ) as due
            ))
            returning j.id, j.kind, j.claim, j.attempts, j.max_attempts, j.args::text as "args!"
            "#,
            &names,
            &limits,
            self.settings.lease.as_secs_f64(),
            &self.settings.worker,
        )
        .fetch_all(&self.pool);
        let mut rows = timeout(STATEMENT_TIMEOUT, statement)
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)??;

        rows.sort_unstable_by_key(|row| row.id); // `returning` keeps no order
        let mut counts = vec![0; self.kinds.len()];
        for row in rows {
            let Some(at) = self
                .kinds
                .iter()
                .position(|(kind, _)| kind.name == row.kind)
            else {
                continue; // cannot happen: only our kinds were asked for
            };
            counts[at] += 1;
            let (kind, channel) = &self.kinds[at];
            let claimed = Claimed {
                id: row.id,
                claim: row.claim,
                attempt: row.attempts.unsigned_abs(),
                max_attempts: row.max_attempts.unsigned_abs(),
                args: row.args,
            };
            self.leases.hold(&claimed, sent);
            kind.take_slot();
            if let Err(unsent) = channel.send(claimed) {
                kind.free_slot();
                self.acks.release(&unsent.0);
            }
        }
        Ok(counts)
    }
}
