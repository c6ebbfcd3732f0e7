//! The leases this process holds, and their renewal.
//!
//! A lease is lost when the database says so (the row is gone, was claimed again, or is ready for
//! any worker), or when it was not renewed in time by this process's monotonic clock: then another
//! worker may have the job, although this one cannot ask. Either way the work is cancelled. The
//! fence refuses what it would still write.
//!
//! A lease that ended while the database failed to renew it costs the job no attempt, unless
//! another worker has claimed the job before this one could give it back.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    attempt::{Fence, JobId},
    claimed::ClaimedJob,
    database::{StatementError, StatementLimit},
    pool::Pool,
    watchdog::Heartbeat,
};

/// The lease of one job.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    claim: i32,
    /// Counted from before the claim was sent, so it ends before the database's own end of the
    /// lease.
    safe_until: Instant,
    /// True while the database fails to renew it. False if this process is late by itself.
    renewal_failed: bool,
    /// Set before `lost` is cancelled, if the database is the reason.
    pub(crate) lost_to_database: Arc<AtomicBool>,
    /// Cancelled when the lease is lost.
    pub(crate) lost: CancellationToken,
    /// Set once the job has deleted its own row. A missing row then does not mean that the lease is
    /// lost.
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

    /// Adds the lease of a claim that was sent at `sent`. If this process has claimed a job again
    /// whose older lease ran out, the older lease is lost.
    pub(crate) fn hold(&self, claimed: &ClaimedJob, sent: Instant) {
        let lease = Lease {
            claim: claimed.fence.claim,
            safe_until: sent + self.length,
            // A claim as slow as this leaves no time for a renewal.
            renewal_failed: sent.elapsed() > self.length / 3,
            lost_to_database: Arc::default(),
            lost: CancellationToken::new(),
            completed: Arc::default(),
        };
        if let Some(older) = self.lock().insert(claimed.fence.job, lease) {
            older.lost.cancel();
        }
    }

    /// The lease of this claim, unless a newer claim has replaced it.
    pub(crate) fn get(&self, fence: Fence) -> Option<Lease> {
        self.lock()
            .get(&fence.job)
            .filter(|lease| lease.claim == fence.claim)
            .cloned()
    }

    /// Removes a lease, which is no longer renewed: the job has completed, or its outcome is
    /// written.
    pub(crate) fn remove(&self, fence: Fence) {
        self.remove_all(std::iter::once(fence));
    }

    /// Removes all of these.
    pub(crate) fn remove_all(&self, fences: impl Iterator<Item = Fence>) {
        let mut held = self.lock();
        for Fence { job, claim } in fences {
            if held.get(&job).is_some_and(|lease| lease.claim == claim) {
                held.remove(&job);
            }
        }
    }

    /// Renews all leases three times within a lease's length, until `done`.
    pub(crate) async fn renew(self, pool: Pool, done: CancellationToken, heartbeat: Heartbeat) {
        let regular = self.length / 3;
        let after_error = (self.length / 10).min(Duration::from_secs(1));
        let (mut pause, mut limit) = (regular, StatementLimit::default());
        loop {
            tokio::select! { () = heartbeat.sleep(pause) => {} () = done.cancelled() => return }
            pause = match self.renew_once(&pool, &mut limit).await {
                Ok(()) => regular,
                Err(error) => {
                    tracing::warn!(%error, "cannot renew leases");
                    for lease in self.lock().values_mut() {
                        lease.renewal_failed = true;
                    }
                    after_error
                }
            };
        }
    }

    /// Cancels jobs whose lease was not renewed in time, until `done`. A loop of its own, as the
    /// renewal may be waiting for the database.
    pub(crate) async fn expire(self, done: CancellationToken, heartbeat: Heartbeat) {
        let pause = (self.length / 20).min(Duration::from_secs(1));
        loop {
            tokio::select! { () = heartbeat.sleep(pause) => {} () = done.cancelled() => return }
            let now = Instant::now();
            for lease in self.lock().values().filter(|lease| lease.safe_until <= now) {
                let reason = lease.renewal_failed;
                lease.lost_to_database.store(reason, Ordering::Release);
                lease.lost.cancel();
            }
        }
    }

    async fn renew_once(
        &self,
        pool: &Pool,
        limit: &mut StatementLimit,
    ) -> Result<(), StatementError> {
        let (ids, claims): (Vec<i64>, Vec<i32>) = self
            .lock()
            .iter()
            .map(|(id, lease)| (*id, lease.claim))
            .unzip();
        if ids.is_empty() {
            return Ok(());
        }
        let sent = Instant::now();
        // A locked row is skipped: a wait for it would cost all other jobs their leases. Usually
        // the job is being completed. If not, the next renewal has it.
        let statement = async {
            let mut conn = pool.acquire().await?;
            let rows = sqlx::query!(
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
            .fetch_all(&mut *conn)
            .await?;
            conn.put_back();
            Ok::<_, sqlx::Error>(rows)
        };
        // At most a third of the lease: a renewal that takes longer than the lease is of no use, a
        // second try is.
        let rows = limit.within(self.length / 3, statement).await?;
        let ours: HashMap<JobId, bool> =
            rows.into_iter().map(|row| (row.id, row.renewed)).collect();

        let mut held = self.lock();
        for (id, claim) in ids.into_iter().zip(claims) {
            let Some(lease) = held.get_mut(&id).filter(|lease| lease.claim == claim) else {
                continue; // ended meanwhile
            };
            match ours.get(&id) {
                Some(true) => {
                    lease.safe_until = sent + self.length;
                    lease.renewal_failed = false;
                }
                Some(false) => {}
                None if lease.completed.load(Ordering::Acquire) => {}
                None => lease.lost.cancel(),
            }
        }
        Ok(())
    }
}
