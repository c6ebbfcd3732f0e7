//! The numbers of jobs: counted up to a bound, and estimated from a sample of the table beyond it.

use std::collections::HashMap;

use serde::Serialize;
use sqlx::PgConnection;

use super::{error::AdminError, state::JobState};

/// About how many pages of a table are in a sample.
const SAMPLE_PAGES: f32 = 400.0;

/// A number of jobs, and how precise it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct JobCount {
    /// The number.
    pub count: i64,
    /// How precise it is.
    pub precision: CountPrecision,
}

/// How precise a count is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CountPrecision {
    /// All were counted.
    Exact,
    /// Counting stopped at this number.
    AtLeast,
    /// Estimated from a sample.
    About,
}

impl JobCount {
    pub(super) fn exact(count: i64) -> Self {
        Self {
            count,
            precision: CountPrecision::Exact,
        }
    }

    pub(super) fn at_least(count: i64) -> Self {
        Self {
            count,
            precision: CountPrecision::AtLeast,
        }
    }

    /// An estimate, where `counted` is the number at which counting stopped.
    pub(super) fn about(estimate: Option<i64>, counted: i64) -> Self {
        match estimate {
            Some(count) if count > counted => Self {
                count,
                precision: CountPrecision::About,
            },
            _ => Self::at_least(counted),
        }
    }
}

/// The estimated number of jobs of each kind and state.
pub(super) type Estimates = HashMap<(String, JobState), i64>;

/// Estimates the live jobs. The sample has the same number of pages, whatever the size of the
/// table.
pub(super) async fn estimate_live(conn: &mut PgConnection) -> Result<Estimates, AdminError> {
    let percent = sqlx::query_scalar!(
        r#"select least(100, 100 * $1::real / greatest(1, pg_relation_size('queue.jobs') / 8192))::real as "percent!""#,
        SAMPLE_PAGES,
    )
    .fetch_one(&mut *conn)
    .await?;
    let rows = sqlx::query!(
        r#"select kind, ready, locked_by is not null as "held!", (count(*) * 100 / $1::real)::bigint as "count!"
           from queue.jobs tablesample system ($1) group by 1, 2, 3"#,
        percent,
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| {
            (
                (row.kind, JobState::of_live(row.ready, row.held)),
                row.count,
            )
        })
        .collect())
}

/// Estimates the dead letters in the same way.
pub(super) async fn estimate_dead(conn: &mut PgConnection) -> Result<Estimates, AdminError> {
    let percent = sqlx::query_scalar!(
        r#"select least(100, 100 * $1::real / greatest(1, pg_relation_size('queue.dead_jobs') / 8192))::real
               as "percent!""#,
        SAMPLE_PAGES,
    )
    .fetch_one(&mut *conn)
    .await?;
    let rows = sqlx::query!(
        r#"select kind, (count(*) * 100 / $1::real)::bigint as "count!"
           from queue.dead_jobs tablesample system ($1) group by 1"#,
        percent,
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| ((row.kind, JobState::Dead), row.count))
        .collect())
}
