//! The kinds of jobs, and their pauses.

use serde::Serialize;
use sqlx::PgConnection;

use super::error::AdminError;

/// The result of a pause or a resume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PauseResult {
    /// The kind.
    pub kind: String,
    /// False if the kind was paused, or not paused, before.
    pub changed: bool,
    /// True if a job, a worker or a figure of this kind exists. If not, its name may be misspelt.
    pub known: bool,
}

/// Keeps all workers from claiming jobs of this kind. Running jobs continue. Operators read the
/// reason. A new reason replaces the old one.
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
    } else if !changed {
        wait_at_commit(conn).await?;
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
        .execute(&mut *conn)
        .await?;
    if removed.rows_affected() == 0 {
        wait_at_commit(conn).await?;
    }
    Ok(PauseResult {
        kind: kind.to_owned(),
        changed: removed.rows_affected() > 0,
        known,
    })
}

/// Waits for the synchronous standbys as a write would, so that what another session has written,
/// and this one reports, survives the loss of the primary. See `pigeonhole.wait_at_commit`.
async fn wait_at_commit(conn: &mut PgConnection) -> Result<(), AdminError> {
    sqlx::query_scalar!("select pg_logical_emit_message(true, 'queue', ''::text)::text")
        .fetch_one(conn)
        .await?;
    Ok(())
}

/// The kinds of workers, figures, pauses, ready jobs and dead letters, in order of their names. A
/// kind that has only running and scheduled jobs, and no figure of today, is not among them.
pub(super) async fn known(conn: &mut PgConnection) -> Result<Vec<String>, AdminError> {
    // The recursive parts jump from one kind to the next in the index, however many jobs each has.
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
