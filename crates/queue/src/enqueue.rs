//! Enqueues jobs.

use std::{collections::HashMap, time::Duration};

use sqlx::PgConnection;

use crate::{
    attempt::JobId,
    database::LONGEST_DELAY,
    job::{JobArgs, Priority},
};

/// Why a job could not be enqueued.
#[derive(Debug, thiserror::Error)]
pub enum EnqueueError {
    /// The arguments cannot be serialised to JSON.
    #[error("the arguments of a `{kind}` job cannot be written as JSON")]
    Args {
        /// The kind of job.
        kind: &'static str,
        /// The error of `serde_json`.
        source: serde_json::Error,
    },
    /// The database reported an error.
    #[error("could not enqueue a job")]
    Database(#[from] sqlx::Error),
}

/// The largest number of attempts that is stored. The claim after the last attempt, which makes the
/// job a dead letter, must fit as well.
const MOST_ATTEMPTS: i16 = i16::MAX - 1;

/// A job to be enqueued.
#[derive(Debug, Clone)]
pub struct NewJob {
    kind: &'static str,
    max_attempts: i16,
    args: String,
    priority: Priority,
    delay: Duration,
    lane: Option<String>,
    unique_key: Option<String>,
    trace: Option<String>,
}

impl NewJob {
    /// A job with the policy of its kind, due at once.
    pub fn of<J: JobArgs>(job: &J) -> Result<Self, EnqueueError> {
        let args = serde_json::to_string(job).map_err(|source| EnqueueError::Args {
            kind: J::NAME,
            source,
        })?;
        Ok(Self {
            kind: J::NAME,
            max_attempts: i16::try_from(J::MAX_ATTEMPTS)
                .map_or(MOST_ATTEMPTS, |most| most.min(MOST_ATTEMPTS)),
            args,
            priority: J::PRIORITY,
            delay: Duration::ZERO,
            lane: None,
            unique_key: None,
            trace: None,
        })
    }

    /// Replaces the priority of its kind.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// The job becomes due after this delay, by the database's clock.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The lane in which the job waits. Lanes take turns, so a backlog in one lane does not delay
    /// the jobs of others.
    #[must_use]
    pub fn lane(mut self, lane: impl Into<String>) -> Self {
        self.lane = Some(lane.into());
        self
    }

    /// At most one live job has this key. Dead letters do not count.
    #[must_use]
    pub fn unique_key(mut self, key: impl Into<String>) -> Self {
        self.unique_key = Some(key.into());
        self
    }

    /// The trace context (a W3C `traceparent`) to which the worker links its span.
    #[must_use]
    pub fn trace(mut self, trace: Option<String>) -> Self {
        self.trace = trace;
        self
    }

    /// The kind, as stored.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The arguments, as stored.
    pub fn args(&self) -> &str {
        &self.args
    }

    /// The number of attempts, as stored.
    pub fn max_attempts(&self) -> i16 {
        self.max_attempts
    }
}

/// Inserts the job on the caller's connection. Inside a transaction, the job becomes due when the
/// transaction commits, and does not exist if it rolls back. [`enqueue_all`] takes jobs with
/// another policy than that of their kind.
pub async fn enqueue<J: JobArgs>(conn: &mut PgConnection, job: &J) -> Result<JobId, EnqueueError> {
    let job = NewJob::of(job)?;
    // As text: a JSON parameter would be `jsonb` on its way, which refuses "\u0000" and rewrites
    // numbers.
    let id = sqlx::query_scalar!(
        "insert into queue.jobs (kind, max_attempts, priority, position, args)
         values ($1, $2, $3::smallint, now() + $3::smallint * interval '10 minutes', $4::text::json)
         returning id",
        job.kind,
        job.max_attempts,
        job.priority.0,
        job.args
    )
    .fetch_one(conn)
    .await?;
    Ok(id)
}

/// Makes the job with this unique key due now, if it waits for a later time. A job that is ready or
/// runs stays as it is.
pub async fn make_due(conn: &mut PgConnection, unique_key: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update queue.jobs set run_at = now()
         where unique_key = $1 and not ready and locked_by is null and run_at > now()",
        unique_key,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Inserts the jobs on the caller's connection, in one statement. Returns the number of each, or
/// `None` for a job whose unique key a live job or an earlier job of the list has. The other jobs
/// are inserted all the same.
pub async fn enqueue_all(
    conn: &mut PgConnection,
    jobs: &[NewJob],
) -> Result<Vec<Option<JobId>>, EnqueueError> {
    let mut rows = NewJobColumns::default();
    for job in jobs {
        rows.push(job);
    }
    let inserted = sqlx::query!(
        "insert into queue.jobs
             (kind, max_attempts, priority, ready, run_at, position, lane, unique_key, args, trace)
         select kind, max_attempts, priority, delay <= 0, now() + make_interval(secs => delay),
                queue.new_position(lane, priority)
                    + (row_number() over (partition by lane order by ord) - 1)
                      * case when lane is null then interval '0' else interval '1 second' end,
                lane, unique_key, args::json, trace
         from unnest($1::text[], $2::smallint[], $3::smallint[], $4::float8[], $5::text[], $6::text[],
                     $7::text[], $8::text[])
              with ordinality
              as new(kind, max_attempts, priority, delay, lane, unique_key, args, trace, ord)
         order by ord
         on conflict (unique_key) where unique_key is not null do nothing
         returning id, unique_key",
        &rows.kinds,
        &rows.max_attempts,
        &rows.priorities,
        &rows.delays,
        &rows.lanes as &[Option<String>],
        &rows.unique_keys as &[Option<String>],
        &rows.args,
        &rows.traces as &[Option<String>],
    )
    .fetch_all(conn)
    .await?;

    // The rows come in the order of the list, without the duplicates.
    let mut keyed = HashMap::new();
    let mut plain = Vec::new();
    for row in inserted {
        match row.unique_key {
            Some(key) => drop(keyed.insert(key, row.id)),
            None => plain.push(row.id),
        }
    }
    let mut plain = plain.into_iter();
    let number = |job: &NewJob| match &job.unique_key {
        Some(key) => keyed.remove(key),
        None => plain.next(),
    };
    Ok(jobs.iter().map(number).collect())
}

/// The columns of a batch.
#[derive(Default)]
struct NewJobColumns {
    kinds: Vec<String>,
    max_attempts: Vec<i16>,
    priorities: Vec<i16>,
    delays: Vec<f64>,
    lanes: Vec<Option<String>>,
    unique_keys: Vec<Option<String>>,
    args: Vec<String>,
    traces: Vec<Option<String>>,
}

impl NewJobColumns {
    fn push(&mut self, job: &NewJob) {
        self.kinds.push(job.kind.to_owned());
        self.max_attempts.push(job.max_attempts);
        self.priorities.push(job.priority.0);
        self.delays.push(job.delay.min(LONGEST_DELAY).as_secs_f64());
        self.lanes.push(job.lane.clone());
        self.unique_keys.push(job.unique_key.clone());
        self.args.push(job.args.clone());
        self.traces.push(job.trace.clone());
    }
}
