//! Continuously measures the backlog: how long jobs wait and how many jobs there are.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use sqlx::PgPool;
use tokio::{sync::watch, task::JoinHandle};

/// The interval between two measurements.
const INTERVAL: Duration = Duration::from_millis(100);

/// How long a job has waited for a worker, by the database's clock: since it became ready, or since
/// the last heartbeat of a worker whose lease has expired. The time while Postgres was away does
/// not count.
const LOOK: &str = "
    select coalesce(extract(epoch from max(now() - greatest(pg_postmaster_start_time(),
            case when claimed_at + make_interval(secs => $1) <= run_at
                 then run_at - make_interval(secs => $1) else run_at end))
        filter (where ready or run_at <= now())), 0)::float8,
        count(*)
    from queue.jobs";

/// The load pauses while there are more jobs than this. The test slows the effects down and so
/// bounds the workers' throughput, but not the receiver's: on a fast machine the backlog would grow
/// without bound.
const MOST_JOBS: i64 = 40;

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct BacklogObservations {
    pub(super) oldest_wait: Duration,
    pub(super) looks: u32,
}

/// Measures until it is dropped.
pub(super) struct BacklogMonitor {
    seen: Arc<Mutex<BacklogObservations>>,
    task: JoinHandle<()>,
}

impl BacklogMonitor {
    /// Pauses the load while there are too many jobs.
    pub(super) fn start(pool: PgPool, lease: Duration, held: Arc<watch::Sender<bool>>) -> Self {
        let seen = Arc::<Mutex<BacklogObservations>>::default();
        let noted = seen.clone();
        let task = tokio::spawn(async move {
            loop {
                let look = sqlx::query_as::<_, (f64, i64)>(LOOK).bind(lease.as_secs_f64());
                if let Ok((wait, jobs)) = look.fetch_one(&pool).await {
                    let mut seen = noted.lock().unwrap();
                    seen.oldest_wait = seen.oldest_wait.max(Duration::from_secs_f64(wait.max(0.0)));
                    seen.looks += 1;
                    held.send_replace(jobs > MOST_JOBS);
                } else {
                    // Postgres is away. The load must go on, so that the receiver meets the outage.
                    held.send_replace(false);
                }
                tokio::time::sleep(INTERVAL).await;
            }
        });
        Self { seen, task }
    }

    pub(super) fn observations(&self) -> BacklogObservations {
        *self.seen.lock().unwrap()
    }
}

impl Drop for BacklogMonitor {
    fn drop(&mut self) {
        self.task.abort();
    }
}
