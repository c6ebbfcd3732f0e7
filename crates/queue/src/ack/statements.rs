//! The statements that write outcomes: one for each kind of outcome in the batch.

use std::time::Duration;

use sqlx::PgConnection;

use crate::{
    database::LONGEST_DELAY,
    outcome::{Ack, DeadLetterReason, Outcome},
    pool::Pool,
};

/// Writes all of these or none. Returns how many were written; the fence refused the others.
pub(super) async fn write(pool: &Pool, acks: &[&Ack]) -> Result<u64, sqlx::Error> {
    let outcomes = Outcomes::of(acks);
    if outcomes.is_one_statement() {
        // Most batches. A single statement needs no transaction block.
        let mut conn = pool.acquire().await?;
        let written = outcomes.write(&mut conn).await?;
        conn.put_back();
        return Ok(written);
    }
    let mut tx = pool.begin().await?;
    let written = outcomes.write(&mut tx).await?;
    tx.commit().await?;
    Ok(written)
}

/// The same in the caller's transaction.
pub(super) async fn write_in(conn: &mut PgConnection, acks: &[&Ack]) -> Result<u64, sqlx::Error> {
    Outcomes::of(acks).write(conn).await
}

/// A batch, by the kinds of its outcomes.
#[derive(Default)]
struct Outcomes {
    completed: Completed,
    due_again: DueAgain,
    dead: DeadLetters,
}

impl Outcomes {
    fn of(acks: &[&Ack]) -> Self {
        let mut all = Self::default();
        for ack in acks {
            match &ack.outcome {
                Outcome::Complete => all.completed.push(ack),
                Outcome::Retry { delay, error } => all.due_again.push(ack, *delay, 0, Some(error)),
                Outcome::Snooze { delay } => all.due_again.push(ack, *delay, 1, None),
                Outcome::DeadLetter { reason, error } => all.dead.push(ack, *reason, error),
            }
        }
        all
    }

    fn is_one_statement(&self) -> bool {
        self.due_again.ids.is_empty() && self.dead.ids.is_empty()
    }

    async fn write(&self, conn: &mut PgConnection) -> Result<u64, sqlx::Error> {
        Ok(self.completed.write(&mut *conn).await?
            + self.due_again.write(&mut *conn).await?
            + self.dead.write(conn).await?)
    }
}

#[derive(Default)]
struct Completed {
    ids: Vec<i64>,
    claims: Vec<i32>,
}

impl Completed {
    fn push(&mut self, ack: &Ack) {
        self.ids.push(ack.fence.job);
        self.claims.push(ack.fence.claim);
    }

    async fn write(&self, conn: &mut PgConnection) -> Result<u64, sqlx::Error> {
        if self.ids.is_empty() {
            return Ok(0);
        }
        let written = sqlx::query!(
            "delete from queue.jobs as j using unnest($1::bigint[], $2::int[]) as ack(id, claim)
             where j.id = ack.id and j.claim = ack.claim",
            &self.ids,
            &self.claims,
        )
        .execute(conn)
        .await?;
        Ok(written.rows_affected())
    }
}

#[derive(Default)]
struct DueAgain {
    ids: Vec<i64>,
    claims: Vec<i32>,
    delays: Vec<f64>,
    refunds: Vec<i16>,
    errors: Vec<Option<String>>,
}

impl DueAgain {
    fn push(&mut self, ack: &Ack, delay: Duration, refund: i16, error: Option<&String>) {
        self.ids.push(ack.fence.job);
        self.claims.push(ack.fence.claim);
        self.delays.push(delay.min(LONGEST_DELAY).as_secs_f64());
        self.refunds.push(refund);
        self.errors.push(error.cloned());
    }

    /// A job that is ready again at once keeps its position. The statement increases the fence, so
    /// that no late write finds the row: neither a renewal that was sent before, nor this statement
    /// sent again because the response to its commit was lost.
    async fn write(&self, conn: &mut PgConnection) -> Result<u64, sqlx::Error> {
        if self.ids.is_empty() {
            return Ok(0);
        }
        let written = sqlx::query!(
            "update queue.jobs as j
             set ready = ack.delay <= 0,
                 run_at = now() + make_interval(secs => ack.delay), locked_by = null, claim = j.claim + 1,
                 attempts = j.attempts - ack.refund,
                 errors = case when ack.error is null then j.errors
                               else queue.with_error(j.errors, j.attempts, ack.error) end
             from unnest($1::bigint[], $2::int[], $3::float8[], $4::smallint[], $5::text[])
                  as ack(id, claim, delay, refund, error)
             where j.id = ack.id and j.claim = ack.claim",
            &self.ids,
            &self.claims,
            &self.delays,
            &self.refunds,
            &self.errors as &[Option<String>],
        )
        .execute(conn)
        .await?;
        Ok(written.rows_affected())
    }
}

#[derive(Default)]
struct DeadLetters {
    ids: Vec<i64>,
    claims: Vec<i32>,
    reasons: Vec<String>,
    errors: Vec<String>,
}

impl DeadLetters {
    fn push(&mut self, ack: &Ack, reason: DeadLetterReason, error: &str) {
        self.ids.push(ack.fence.job);
        self.claims.push(ack.fence.claim);
        self.reasons.push(reason.as_str().to_owned());
        self.errors.push(error.to_owned());
    }

    async fn write(&self, conn: &mut PgConnection) -> Result<u64, sqlx::Error> {
        if self.ids.is_empty() {
            return Ok(0);
        }
        let written = sqlx::query!(
            "with given_up as (
                 delete from queue.jobs as j
                 using unnest($1::bigint[], $2::int[], $3::text[], $4::text[])
                       as ack(id, claim, reason, error)
                 where j.id = ack.id and j.claim = ack.claim
                 returning j.*, ack.reason, ack.error
             )
             insert into queue.dead_jobs
                 (id, kind, reason, created_at, claim, attempts, max_attempts, priority, lane, unique_key,
                  args, trace, last_error, errors)
             select id, kind, reason, created_at, claim, least(attempts, max_attempts), max_attempts, priority,
                    lane, unique_key, args, trace, error, queue.with_error(errors, attempts, error)
             from given_up",
            &self.ids,
            &self.claims,
            &self.reasons,
            &self.errors,
        )
        .execute(conn)
        .await?;
        Ok(written.rows_affected())
    }
}
