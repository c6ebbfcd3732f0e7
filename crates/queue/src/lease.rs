//! The leases this process holds, and their renewal.
//!
//! A lease is lost when the database says so (the row is gone, claimed again, or there for anybody to claim) or when it
//! could not be renewed in time by this process's own monotonic clock: then others may have the job, although we cannot
//! ask. Either way the work is cancelled; what it would still write is refused by the fence.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::PgPool;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::{Heartbeat, JobId, claim::Claimed, claim::STATEMENT_TIMEOUT};

/// One held job.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    claim: i32,
    /// Counted from before the claiming statement was sent, so it ends before the database's own end of the lease.
    safe_until: Instant,
    /// Cancelled when the lease is lost.
    pub(crate) lost: CancellationToken,
    /// Set once the job has deleted its own row: then the row's absence is no loss.
    pub(crate) completed: Arc<AtomicBool>,
}

/// All leases of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Leases {
    held: Arc<Mutex<HashMap<JobId, Lease>>>,
    length: Duration,
}

impl Leases {
    pub(crate) fn new(length: Duration) -> Self {
        Self {
            held: Arc::default(),
            length,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Lease>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a claim whose statement was sent at `sent`. A job of ours whose lease ran out unnoticed and that we have
    /// now claimed again loses its older lease here.
    pub(crate) fn hold(&self, claimed: &Claimed, sent: Instant) {
        let lease = Lease {
            claim: claimed.claim,
            safe_until: sent + self.length,
            lost: CancellationToken::new(),
            completed: Arc::default(),
        };
        if let Some(older) = self.lock().insert(claimed.id, lease) {
            older.lost.cancel();
        }
    }

    /// The lease of this claim, unless a newer claim has replaced it.
    pub(crate) fn get(&self, id: JobId, claim: i32) -> Option<Lease> {
        self.lock()
            .get(&id)
            .filter(|lease| lease.claim == claim)
            .cloned()
    }

    /// Stops renewing: the job has ended, or what became of it is written down.
    pub(crate) fn forget(&self, id: JobId, claim: i32) {
        self.forget_all(std::iter::once((id, claim)));
    }

    /// Stops renewing all of these.
    pub(crate) fn forget_all(&self, jobs: impl Iterator<Item = (JobId, i32)>) {
        let mut held = self.lock();
        for (id, claim) in jobs {
            if held.get(&id).is_some_and(|lease| lease.claim == claim) {
                held.remove(&id);
            }
        }
    }

    /// Renews all leases, three times in a lease's length, until `done`.
    pub(crate) async fn renew(self, pool: PgPool, done: CancellationToken, heartbeat: Heartbeat) {
        let calm = self.length / 3;
        let hurried = (self.length / 10).min(Duration::from_secs(1));
        let mut pause = calm;
        loop {
            tokio::select! { () = heartbeat.sleep(pause) => {} () = done.cancelled() => return }
            pause = match self.renew_once(&pool).await {
                Ok(()) => calm,
                Err(error) => {
                    tracing::warn!(%error, "cannot renew leases");
                    hurried
                }
            };
        }
    }

    /// Cancels what was not renewed in time, until `done`. Apart from the renewal, which may be waiting for the
    /// database.
    pub(crate) async fn expire(self, done: CancellationToken, heartbeat: Heartbeat) {
        let pause = (self.length / 20).min(Duration::from_secs(1));
        loop {
            tokio::select! { () = heartbeat.sleep(pause) => {} () = done.cancelled() => return }
            let now = Instant::now();
            for lease in self.lock().values().filter(|lease| lease.safe_until <= now) {
                lease.lost.cancel();
            }
        }
    }

    async fn renew_once(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let (ids, claims): (Vec<i64>, Vec<i32>) = self
            .lock()
            .iter()
            .map(|(id, lease)| (*id, lease.claim))
            .unzip();
        if ids.is_empty() {
            return Ok(());
        }
        let sent = Instant::now();
        // A row that somebody has locked is passed over: waiting for one would cost all the others their leases. It is
        // usually being completed; if not, the next renewal has it.
        let statement = sqlx::query!(
            r#"
            with held as (select * from unnest($1::bigint[], $2::int[]) as held(id, claim)),
            renewed as (
                update queue.jobs as j set run_at = now() + make_interval(secs => $3)
                where j.ctid = any(array(
                    select free.ctid from held
                    join queue.jobs as free on free.id = held.id and free.claim = held.claim
                    where not free.ready
                    for update of free skip locked
                ))
                returning j.id
            )
            select j.id, j.id in (select id from renewed) as "renewed!"
            from held join queue.jobs as j on j.id = held.id and j.claim = held.claim
            where not j.ready
            "#,
            &ids,
            &claims,
            self.length.as_secs_f64(),
        )
        .fetch_all(pool);
        // Never longer than a third of the lease: better a second try than one that outlives what it renews.
        let rows = timeout(STATEMENT_TIMEOUT.min(self.length / 3), statement)
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)??;
        let ours: HashMap<JobId, bool> =
            rows.into_iter().map(|row| (row.id, row.renewed)).collect();

        let mut held = self.lock();
        for (id, claim) in ids.into_iter().zip(claims) {
            let Some(lease) = held.get_mut(&id).filter(|lease| lease.claim == claim) else {
                continue; // ended meanwhile
            };
            match ours.get(&id) {
                Some(true) => lease.safe_until = sent + self.length,
                Some(false) => {}
                None if lease.completed.load(Ordering::Acquire) => {}
                None => lease.lost.cancel(),
            }
        }
        Ok(())
    }
}
