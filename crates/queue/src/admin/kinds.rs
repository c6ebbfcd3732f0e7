//! Which kinds of jobs there are, and which of them nobody may claim.

use serde::Serialize;
use sqlx::PgConnection;

use super::error::AdminError;

/// What came of a wish to pause or resume a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PauseResult {
    /// The kind.
    pub kind: String,
    /// It was not so before.
    pub changed: bool,
    /// There is a job, a worker or a figure of this kind. If not, its name may be misspelt.
    pub known: bool,
}

/// Keeps all workers from claiming jobs of this kind. Those that run go on. The reason is for people to read; a new one
/// replaces the old.
pub async fn pause(
    conn: &mut PgConnection,
    kind: &str,
    reason: Option<&str>,
) -> Result<PauseResult, AdminError> {
    let known = known(conn).await?.iter().any(|known| known == kind);
    let added = sqlx::query!(
        "insert into queue.paused (kind, reason) values ($1, $2) on conflict do nothing",
        kind,
        reason,
    )
    .execute(&mut *conn)
    .await?;
    let changed = added.rows_affected() > 0;
    if !changed && reason.is_some() {
        sqlx::query!(
            "update queue.paused set reason = $2 where kind = $1",
            kind,
            reason
        )
        .execute(conn)
        .await?;
    }
    Ok(PauseResult {
        kind: kind.to_owned(),
        changed,
        known,
    })
}

/// Lets workers claim jobs of this kind again.
pub async fn resume(conn: &mut PgConnection, kind: &str) -> Result<PauseResult, AdminError> {
    let known = known(conn).await?.iter().any(|known| known == kind);
    let removed = sqlx::query!("delete from queue.paused where kind = $1", kind)
        .execute(conn)
        .await?;
    Ok(PauseResult {
        kind: kind.to_owned(),
        changed: removed.rows_affected() > 0,
        known,
    })
}

/// The kinds that workers, figures, pauses, ready jobs or dead letters name, in order. One that has only running and
/// scheduled jobs, and nobody who ran any today, is not among them.
pub(super) async fn known(conn: &mut PgConnection) -> Result<Vec<String>, AdminError> {
    // The recursive parts hop from one kind to the next in the index, however many jobs each has.
    let kinds = sqlx::query_scalar!(
        r#"
        with recursive ready(kind) as (
            (select kind from queue.jobs where ready order by kind limit 1)
            union all
            select (select jobs.kind from queue.jobs where jobs.ready and jobs.kind > ready.kind
                    order by jobs.kind limit 1)
            from ready where ready.kind is not null
        ),
        dead(kind) as (
            (select kind from queue.dead_jobs order by kind limit 1)
            union all
            select (select dead_jobs.kind from queue.dead_jobs where dead_jobs.kind > dead.kind
                    order by dead_jobs.kind limit 1)
            from dead where dead.kind is not null
        ),
        counted(kind) as (
            (select kind from queue.throughput order by kind limit 1)
            union all
            select (select throughput.kind from queue.throughput where throughput.kind > counted.kind
                    order by throughput.kind limit 1)
            from counted where counted.kind is not null
        ),
        named as (
            (select kind from ready limit 1000) union (select kind from dead limit 1000)
            union (select kind from counted limit 1000) union select kind from queue.paused
            union select unnest(kinds) from queue.workers
        )
        select kind as "kind!" from named where kind is not null order by kind
        "#
    )
    .fetch_all(conn)
    .await?;
    Ok(kinds)
}
