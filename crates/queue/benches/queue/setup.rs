//! The server, the job and the clocks that all measurements share.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use embedded_postgres::{PostgresServer, PostgresSettings, apply_migrations};
use queue::{Attempt, Job, JobArgs, JobError, NewJob, Runner, RunnerSettings};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, postgres::PgPoolOptions};

/// The variable that makes this program a worker process on the database it names.
pub(crate) const CHILD: &str = "QUEUE_BENCH_DATABASE";

/// The payload of a job, in bytes.
pub(crate) const PAYLOAD: usize = 600;

/// A job that does nothing.
#[derive(Serialize, Deserialize)]
pub(crate) struct NoOp {
    pub(crate) payload: String,
}

impl JobArgs for NoOp {
    const NAME: &'static str = "no_op";
}

impl Job<Arc<AtomicU64>> for NoOp {
    async fn run(&self, done: &Arc<AtomicU64>, _: &Attempt) -> Result<(), JobError> {
        done.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// A database with our tables on a server of its own with `fsync` on, and a pool.
pub(crate) struct BenchDatabase {
    pub(crate) server: PostgresServer,
    pub(crate) pool: PgPool,
    pub(crate) url: String,
    _dir: tempfile::TempDir,
}

impl BenchDatabase {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("queue-bench-")
            .tempdir_in("/var/tmp")
            .unwrap();
        fs::set_permissions(
            dir.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let kept = dir.path().join("postgres");
        let settings = PostgresSettings::default()
            .set("max_wal_size", "4GB")
            .set("shared_buffers", "256MB");
        let server =
            tokio::task::spawn_blocking(move || PostgresServer::start_kept(&kept, settings))
                .await
                .unwrap()
                .unwrap();
        let url = server.ensure_database("bench").await.unwrap();
        let pool = pool(&url, 20).await;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
        apply_migrations(&pool, &folder).await.unwrap();
        Self {
            server,
            pool,
            url,
            _dir: dir,
        }
    }

    /// Empties the queue's tables.
    pub(crate) async fn clear(&self) {
        sqlx::query("truncate queue.jobs, queue.dead_jobs")
            .execute(&self.pool)
            .await
            .unwrap();
        sqlx::query("checkpoint").execute(&self.pool).await.unwrap();
    }

    /// Enqueues so many no-op jobs, a thousand a statement.
    pub(crate) async fn fill(&self, count: usize, delay: Duration) {
        let mut left = count;
        let mut conn = self.pool.acquire().await.unwrap();
        while left > 0 {
            let batch = left.min(1000);
            queue::enqueue_all(&mut conn, &jobs(batch, delay))
                .await
                .unwrap();
            left -= batch;
        }
    }

    /// A runner of no-op jobs that counts them.
    pub(crate) fn runner(&self, done: &Arc<AtomicU64>) -> Runner {
        runner(&self.pool, done)
    }

    /// Processor time of the server's processes since they started, those that have ended included.
    pub(crate) fn server_cpu(&self) -> Duration {
        let Some(postmaster) = self.server.process_id() else {
            return Duration::ZERO;
        };
        let children = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| {
                let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
                let (parent, cpu) = stat(pid, false)?;
                (parent == postmaster).then_some(cpu)
            });
        children.sum::<Duration>() + stat(postmaster, true).map_or(Duration::ZERO, |(_, cpu)| cpu)
    }
}

pub(crate) fn runner(pool: &PgPool, done: &Arc<AtomicU64>) -> Runner {
    let settings = RunnerSettings::new(format!("bench:{}", std::process::id()));
    Runner::new(pool.clone(), settings).register::<NoOp, _>(done.clone(), 200)
}

pub(crate) async fn pool(url: &str, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .test_before_acquire(false)
        .connect(url)
        .await
        .unwrap()
}

pub(crate) fn jobs(count: usize, delay: Duration) -> Vec<NewJob> {
    let job = NoOp {
        payload: "x".repeat(PAYLOAD),
    };
    let job = NewJob::of(&job).unwrap().delay(delay);
    vec![job; count]
}

/// The database to work on, if this is a worker process of a measurement.
#[expect(
    clippy::disallowed_methods,
    reason = "how a measurement starts its worker processes"
)]
pub(crate) fn child_database() -> Option<String> {
    std::env::var(CHILD).ok()
}

/// This process's own processor time and memory (resident, most so far), from `/proc`.
pub(crate) fn own_usage() -> (Duration, u64) {
    let pid = i32::try_from(std::process::id()).unwrap();
    let cpu = stat(pid, false).map_or(Duration::ZERO, |(_, cpu)| cpu);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|text| text.trim().trim_end_matches(" kB").trim().parse().ok());
    (cpu, peak.unwrap_or(0))
}

/// Parent and processor time of a process; with `of_children`, the time of its ended children too.
fn stat(pid: i32, of_children: bool) -> Option<(i32, Duration)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |range: std::ops::Range<usize>| -> Option<u64> {
        fields
            .get(range)?
            .iter()
            .map(|field| field.parse::<u64>().ok())
            .sum()
    };
    // After the name: state, parent, …; user and system time are the 14th and 15th field of all,
    // those of ended children the 16th and 17th. A tick is a hundredth of a second on every Linux.
    let total = ticks(11..13)? + if of_children { ticks(13..15)? } else { 0 };
    Some((
        fields.get(1)?.parse().ok()?,
        Duration::from_millis(total * 10),
    ))
}
