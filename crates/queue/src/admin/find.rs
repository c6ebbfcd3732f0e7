//! Finds the jobs that a list shows.
//!
//! There are two ways. If few jobs are in the wanted state, the index of that state has them all.
//! If not, such jobs are frequent, and a scan by number finds them soon. The scan ends after a
//! bounded number of rows, and the page says where the next one continues. Running jobs are few
//! beside scheduled ones, and their timers run out first. So for them only the front of that index
//! is read.

use sqlx::PgConnection;

use super::{error::AdminError, filter::JobFilter, limits::MOST_ROWS, state::JobState};
use crate::attempt::JobId;

/// The jobs that have the wanted kind and state, in order.
pub(super) struct FoundJobs {
    pub(super) ids: Vec<JobId>,
    /// Where the scan stopped, if it did not reach the end.
    pub(super) next: Option<JobId>,
    /// True if only the timers that run out first were read.
    pub(super) partial: bool,
}

struct JobCandidate {
    id: JobId,
    kind: String,
    state: JobState,
}

pub(super) async fn find(
    conn: &mut PgConnection,
    filter: &JobFilter,
) -> Result<FoundJobs, AdminError> {
    let after = filter.after.unwrap_or(0);
    let front = match filter.state {
        Some(JobState::Available) => ready(conn, filter).await?,
        Some(JobState::Running | JobState::Scheduled) => timers(conn).await?,
        Some(JobState::Dead) if filter.kind.is_some() => dead_of_kind(conn, filter).await?,
        Some(JobState::Dead) | None => Vec::new(),
    };
    let bound = usize::try_from(MOST_ROWS).unwrap_or(usize::MAX);
    let from_index = filter
        .state
        .is_some_and(|state| state != JobState::Dead || filter.kind.is_some());
    let partial = filter.state == Some(JobState::Running) && front.len() > bound;
    let mut next = None;
    let candidates = if from_index && (front.len() <= bound || partial) {
        front
    } else {
        let walked = walk(conn, filter.state == Some(JobState::Dead), after).await?;
        if walked.len() == bound {
            next = walked.last().map(|candidate| candidate.id);
        }
        walked
    };
    let wanted = |candidate: &JobCandidate| {
        candidate.id > after
            && filter
                .kind
                .as_ref()
                .is_none_or(|kind| *kind == candidate.kind)
            && filter.state.is_none_or(|state| state == candidate.state)
    };
    let candidates = candidates.into_iter().filter(wanted);
    let mut ids: Vec<JobId> = candidates.map(|candidate| candidate.id).collect();
    ids.sort_unstable();
    Ok(FoundJobs { ids, next, partial })
}

async fn ready(
    conn: &mut PgConnection,
    filter: &JobFilter,
) -> Result<Vec<JobCandidate>, AdminError> {
    let rows = sqlx::query!(
        "select id, kind from queue.jobs where ready and ($1::text is null or kind = $1)
         order by kind, position, id limit $2",
        filter.kind,
        MOST_ROWS + 1,
    )
    .fetch_all(conn)
    .await?;
    let candidate = |(id, kind)| JobCandidate {
        id,
        kind,
        state: JobState::Available,
    };
    Ok(rows
        .into_iter()
        .map(|row| candidate((row.id, row.kind)))
        .collect())
}

async fn timers(conn: &mut PgConnection) -> Result<Vec<JobCandidate>, AdminError> {
    let rows = sqlx::query!(
        r#"select id, kind, locked_by is not null as "held!"
           from queue.jobs where not ready order by run_at limit $1"#,
        MOST_ROWS + 1,
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| JobCandidate {
            id: row.id,
            kind: row.kind,
            state: JobState::of_live(false, row.held),
        })
        .collect())
}

async fn dead_of_kind(
    conn: &mut PgConnection,
    filter: &JobFilter,
) -> Result<Vec<JobCandidate>, AdminError> {
    let rows = sqlx::query!(
        "select id, kind from queue.dead_jobs where kind = $1 order by died_at, id limit $2",
        filter.kind,
        MOST_ROWS + 1,
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| JobCandidate {
            id: row.id,
            kind: row.kind,
            state: JobState::Dead,
        })
        .collect())
}

/// The next jobs by number, of all kinds and states.
async fn walk(
    conn: &mut PgConnection,
    dead: bool,
    after: JobId,
) -> Result<Vec<JobCandidate>, AdminError> {
    if dead {
        let rows = sqlx::query!(
            "select id, kind from queue.dead_jobs where id > $1 order by id limit $2",
            after,
            MOST_ROWS,
        )
        .fetch_all(conn)
        .await?;
        let rows = rows.into_iter();
        return Ok(rows
            .map(|row| JobCandidate {
                id: row.id,
                kind: row.kind,
                state: JobState::Dead,
            })
            .collect());
    }
    let rows = sqlx::query!(
        r#"select id, kind, ready, locked_by is not null as "held!"
           from queue.jobs where id > $1 order by id limit $2"#,
        after,
        MOST_ROWS,
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| JobCandidate {
            id: row.id,
            kind: row.kind,
            state: JobState::of_live(row.ready, row.held),
        })
        .collect())
}
