//! A watch over how long jobs wait and how many there are, kept at all times.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use sqlx::PgPool;
use tokio::{sync::watch, task::JoinHandle};

/// How often it looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// How long a job has waited for somebody to work on it, by the database's clock: since it became ready, or since the
/// last sign of life of a worker whose lease has run out. While Postgres is away nobody can work.
const LOOK: &str = "
    select coalesce(extract(epoch from max(now() - greatest(pg_postmaster_start_time(),
            case when claimed_at + make_interval(secs => $1) <= run_at
                 then run_at - make_interval(secs => $1) else run_at end))
        filter (where ready or run_at <= now())), 0)::float8,
        count(*)
    from queue.jobs";

/// So many jobs hold the load until there are fewer. What workers do in a second is bounded by how slow the test makes
/// their effects, how fast senders are answered is not: on a fast machine a backlog would grow without bounds.
const MOST_JOBS: i64 = 40;

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct BacklogObservations {
    pub(super) oldest_wait: Duration,
    pub(super) looks: u32,
}

/// Looks until it is finished or dropped.
pub(super) struct BacklogMonitor {
    seen: Arc<Mutex<BacklogObservations>>,
    task: JoinHandle<()>,
}

impl BacklogMonitor {
    /// Holds the load meanwhile, as long as there are too many jobs.
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
                    // Postgres is away, which the receiver shall feel.
                    held.send_replace(false);
                }
                tokio::time::sleep(INTERVAL).await;
            }
        });
        Self { seen, task }
    }

    pub(super) fn seen(&self) -> BacklogObservations {
        *self.seen.lock().unwrap()
    }
}

impl Drop for BacklogMonitor {
    fn drop(&mut self) {
        self.task.abort();
    }
}
