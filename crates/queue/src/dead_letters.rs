//! Reads and locks the dead letters of a kind.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::{attempt::JobId, job::JobArgs};

/// A job that became a dead letter.
#[derive(Debug, Clone)]
pub struct DeadLetter<J> {
    /// The arguments, or `None` if they cannot be decoded.
    pub job: Option<J>,
    /// When it became a dead letter, and its number. The next call continues after it.
    pub place: (DateTime<Utc>, JobId),
}

/// At most `most` jobs of this kind that became dead letters within `age`, the oldest first, after
/// this place.
pub async fn dead_letters<J: JobArgs>(
    conn: &mut PgConnection,
    age: Duration,
    after: Option<(DateTime<Utc>, JobId)>,
    most: u16,
) -> Result<Vec<DeadLetter<J>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select id, died_at, args::text as "args!" from queue.dead_jobs
           where kind = $1 and died_at > statement_timestamp() - make_interval(secs => $2)
               and (died_at, id) > (coalesce($3, timestamptz '-infinity'), $4::bigint)
           order by died_at, id limit $5"#,
        J::NAME,
        age.as_secs_f64(),
        after.map(|(died_at, _)| died_at),
        after.map_or(i64::MIN, |(_, id)| id),
        i64::from(most),
    )
    .fetch_all(conn)
    .await?;
    let letters = rows.into_iter().map(|row| DeadLetter {
        job: serde_json::from_str(&row.args).ok(),
        place: (row.died_at, row.id),
    });
    Ok(letters.collect())
}

/// Locks these dead letters until the caller's transaction ends, so that no operator requeues them
/// meanwhile. Returns the numbers of those that are there: the caller may have read others on a
/// server that lags, or before they were requeued.
pub async fn hold_dead_letters(
    conn: &mut PgConnection,
    ids: &[JobId],
) -> Result<Vec<JobId>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from queue.dead_jobs where id = any($1) order by id for update",
        ids,
    )
    .fetch_all(conn)
    .await
}
