//! Puts dead letters back into the queue.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::{error::AdminError, filter::needle, limits::MOST_ROWS};
use crate::attempt::JobId;

/// The most dead letters that one statement puts back.
const BATCH: i64 = 1000;

/// Which dead letters to put back.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterFilter {
    /// Only this kind.
    pub kind: Option<String>,
    /// Only dead letters whose last error contains this text, in upper or lower case.
    pub error: Option<String>,
    /// Only jobs that became dead letters at this time or later.
    pub after: Option<DateTime<Utc>>,
    /// Only jobs that became dead letters before this time.
    pub before: Option<DateTime<Utc>>,
}

/// Where the next batch continues: the dead letters are ordered by time and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DeadLetterCursor {
    /// When the last one of the batch became a dead letter.
    pub died_at: DateTime<Utc>,
    id: JobId,
}

/// The result of a requeue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RequeueResult {
    /// The number of dead letters that are jobs again.
    pub requeued: usize,
    /// Dead letters that stay, because a live job has their unique key.
    pub key_taken: Vec<JobId>,
    /// Numbers that no dead letter has.
    pub not_dead: Vec<JobId>,
}

impl RequeueResult {
    /// Adds the result of another batch.
    pub fn add(&mut self, other: Self) {
        self.requeued += other.requeued;
        self.key_taken.extend(other.key_taken);
        self.not_dead.extend(other.not_dead);
    }
}

/// Puts these dead letters back, ready now. Attempts count from 0, errors are kept. A dead letter
/// whose unique key a live job has stays a dead letter.
pub async fn requeue(conn: &mut PgConnection, ids: &[JobId]) -> Result<RequeueResult, AdminError> {
    // The fence continues, so that a worker that lost the job before it became a dead letter cannot
    // write to it now.
    let rows = sqlx::query!(
        r#"
        with chosen as (
            select * from queue.dead_jobs where id = any($1) order by id for update
        ),
        placed as (
            select chosen.*, queue.new_position(lane, priority)
                + (row_number() over (partition by lane order by died_at, id) - 1)
                  * case when lane is null then interval '0' else interval '1 second' end as position
            from chosen
        ),
        inserted as (
            insert into queue.jobs
                (id, kind, max_attempts, priority, position, claim, created_at, lane, unique_key, args, trace, errors)
            overriding system value
            select id, kind, max_attempts, priority, position, claim + 1, created_at, lane, unique_key, args, trace, errors
            from placed
            order by died_at, id
            on conflict do nothing
            returning id
        ),
        gone as (
            delete from queue.dead_jobs where id in (select id from inserted)
        )
        select id as "id!", exists (select from inserted where inserted.id = chosen.id) as "requeued!" from chosen
        "#,
        ids,
    )
    .fetch_all(conn)
    .await?;
    let mut result = RequeueResult::default();
    for row in &rows {
        if row.requeued {
            result.requeued += 1;
        } else {
            result.key_taken.push(row.id);
        }
    }
    let found: HashSet<JobId> = rows.iter().map(|row| row.id).collect();
    let named: BTreeSet<JobId> = ids.iter().copied().collect();
    result.not_dead = named.into_iter().filter(|id| !found.contains(id)).collect();
    Ok(result)
}

/// Puts at most `limit` dead letters back, the oldest first. Returns where the next batch
/// continues. Call it again with that, in another transaction, until it is `None`.
pub async fn requeue_all(
    conn: &mut PgConnection,
    filter: &DeadLetterFilter,
    limit: usize,
    from: Option<DeadLetterCursor>,
) -> Result<(RequeueResult, Option<DeadLetterCursor>), AdminError> {
    let limit = i64::try_from(limit).unwrap_or(BATCH).min(BATCH);
    let bound = if filter.error.is_some() {
        MOST_ROWS
    } else {
        limit
    };
    let looked = sqlx::query!(
        r#"
        select id, died_at, $4::text is null or strpos(lower(coalesce(last_error, '')), $4) > 0 as "matches!"
        from queue.dead_jobs
        where ($1::text is null or kind = $1) and died_at < coalesce($2, timestamptz 'infinity')
            and (died_at, id) > (coalesce($3, timestamptz '-infinity'), $5)
        order by died_at, id
        limit $6
        "#,
        filter.kind,
        filter.before,
        from.map_or(filter.after, |place| Some(place.died_at)),
        needle(filter.error.as_deref()),
        from.map_or(i64::MIN, |place| place.id),
        bound,
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut ids = Vec::new();
    let mut place = None;
    let mut full = false;
    for row in &looked {
        if ids.len() == usize::try_from(limit).unwrap_or(usize::MAX) {
            full = true;
            break;
        }
        place = Some(DeadLetterCursor {
            died_at: row.died_at,
            id: row.id,
        });
        if row.matches {
            ids.push(row.id);
        }
    }
    let all_looked_at = looked.len() < usize::try_from(bound).unwrap_or(usize::MAX) && !full;
    let result = requeue(conn, &ids).await?;
    Ok((result, if all_looked_at { None } else { place }))
}
