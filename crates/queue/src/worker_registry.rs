//! Writes down, for operators, which workers run and how many attempts they make. Nothing depends
//! on it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use crate::{
    database::{STATEMENT_TIMEOUT, within},
    kind::JobKind,
    pool::Pool,
};

/// The pause between two entries.
const INTERVAL: Duration = Duration::from_secs(10);

/// Keeps the entry of this process in `queue.workers`, and adds to `queue.throughput`.
pub(crate) struct WorkerRegistry {
    pub(crate) pool: Pool,
    pub(crate) worker: String,
    pub(crate) kinds: Vec<Arc<JobKind>>,
}

impl WorkerRegistry {
    /// Writes every few seconds until `stop`, and once more then.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut started_at = None;
        loop {
            let stopping = stop.is_cancelled();
            match within(STATEMENT_TIMEOUT, self.write(started_at, stopping)).await {
                Ok(at) => started_at = started_at.or(at),
                Err(error) => tracing::debug!(%error, "cannot write to the worker registry"),
            }
            if stopping {
                return;
            }
            tokio::select! { () = tokio::time::sleep(INTERVAL) => {} () = stop.cancelled() => {} }
        }
    }

    async fn write(
        &self,
        started_at: Option<DateTime<Utc>>,
        stopping: bool,
    ) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
        let mut conn = self.pool.acquire().await?;
        self.write_throughput(&mut conn).await?;
        if stopping {
            sqlx::query!("delete from queue.workers where name = $1", self.worker)
                .execute(&mut *conn)
                .await?;
            return Ok(None);
        }
        let names: Vec<String> = self.kinds.iter().map(|kind| kind.name.to_owned()).collect();
        let concurrency: usize = self.kinds.iter().map(|kind| kind.concurrency).sum();
        let held: usize = self.kinds.iter().map(|kind| kind.held()).sum();
        let at = sqlx::query_scalar!(
            "insert into queue.workers as w (name, started_at, kinds, concurrency, held)
             values ($1, coalesce($2, now()), $3, $4, $5)
             on conflict (name) do update set started_at = coalesce($2, now()), seen_at = now(),
                 kinds = excluded.kinds, concurrency = excluded.concurrency, held = excluded.held
             returning started_at",
            self.worker,
            started_at,
            &names,
            i32::try_from(concurrency).unwrap_or(i32::MAX),
            i32::try_from(held).unwrap_or(i32::MAX),
        )
        .fetch_one(&mut *conn)
        .await?;
        conn.put_back();
        Ok(Some(at))
    }

    async fn write_throughput(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        for kind in &self.kinds {
            let completed = kind.completed.swap(0, Ordering::Relaxed);
            let failed = kind.failed.swap(0, Ordering::Relaxed);
            if completed + failed == 0 {
                continue;
            }
            let written = sqlx::query!(
                "insert into queue.throughput as t (kind, minute, completed, failed)
                 values ($1, date_trunc('minute', now()), $2, $3)
                 on conflict (kind, minute) do update
                 set completed = t.completed + excluded.completed, failed = t.failed + excluded.failed",
                kind.name,
                i64::try_from(completed).unwrap_or(i64::MAX),
                i64::try_from(failed).unwrap_or(i64::MAX),
            )
            .execute(&mut *conn)
            .await;
            if let Err(error) = written {
                kind.completed.fetch_add(completed, Ordering::Relaxed);
                kind.failed.fetch_add(failed, Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    }
}
