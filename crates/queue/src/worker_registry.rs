//! Who is at work and what it gets done, written down for people to read. Nothing depends on it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use sqlx::{PgPool, types::chrono};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{claim::STATEMENT_TIMEOUT, execute::Kind};

/// How often to write.
const INTERVAL: Duration = Duration::from_secs(10);

/// What one process says of itself.
pub(crate) struct WorkerRegistry {
    pub(crate) pool: PgPool,
    pub(crate) worker: String,
    pub(crate) kinds: Vec<Arc<Kind>>,
}

impl WorkerRegistry {
    /// Writes every few seconds until `stop`, and once more then.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut started_at = None;
        loop {
            let stopping = stop.is_cancelled();
            let written = timeout(STATEMENT_TIMEOUT, self.write(started_at, stopping)).await;
            match written.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
                Ok(at) => started_at = started_at.or(at),
                Err(error) => tracing::debug!(%error, "cannot write down who is at work"),
            }
            if stopping {
                return;
            }
            tokio::select! { () = tokio::time::sleep(INTERVAL) => {} () = stop.cancelled() => {} }
        }
    }

    async fn write(
        &self,
        started_at: Option<chrono::DateTime<chrono::Utc>>,
        stopping: bool,
    ) -> Result<Option<chrono::DateTime<chrono::Utc>>, sqlx::Error> {
        self.write_throughput().await?;
        if stopping {
            sqlx::query!("delete from queue.workers where name = $1", self.worker)
                .execute(&self.pool)
                .await?;
            return Ok(None);
        }
        let names: Vec<String> = self.kinds.iter().map(|kind| kind.name.to_owned()).collect();
        let slots: usize = self.kinds.iter().map(|kind| kind.concurrency).sum();
        let held: usize = self.kinds.iter().map(|kind| kind.held()).sum();
        let at = sqlx::query_scalar!(
            "insert into queue.workers as w (name, started_at, kinds, slots, held)
             values ($1, coalesce($2, now()), $3, $4, $5)
             on conflict (name) do update set started_at = coalesce($2, now()), seen_at = now(),
                 kinds = excluded.kinds, slots = excluded.slots, held = excluded.held
             returning started_at",
            self.worker,
            started_at,
            &names,
            i32::try_from(slots).unwrap_or(i32::MAX),
            i32::try_from(held).unwrap_or(i32::MAX),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(Some(at))
    }

    async fn write_throughput(&self) -> Result<(), sqlx::Error> {
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
            .execute(&self.pool)
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
