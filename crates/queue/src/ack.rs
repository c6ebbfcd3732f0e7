//! Writing down how attempts ended, in batches, each write under its fence.
//!
//! No acknowledgement is dropped while the process lives: the database being away makes this wait. If the process dies
//! first, the lease runs out and the job runs again, which is what "at least once" means.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqlx::PgPool;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    Heartbeat, JobId,
    claim::{Claimed, DATABASE_BACKOFF, STATEMENT_TIMEOUT},
    lease::Leases,
};

/// The most acknowledgements in one transaction.
const BATCH: usize = 1000;

/// The longest delay that is kept; Postgres's own times end somewhere.
pub(crate) const LONGEST_DELAY: Duration = Duration::from_hours(24 * 365 * 10);

/// The longest error text that is kept, in bytes.
const ERROR_LENGTH: usize = 2000;

/// What is to become of a claimed job.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// Done: the row goes.
    Complete,
    /// Due again after `delay`; the attempt counts.
    Retry { delay: Duration, error: String },
    /// Due again after `delay`; the attempt does not count.
    Snooze { delay: Duration },
    /// A dead letter.
    DeadLetter {
        reason: DeadLetterReason,
        error: String,
    },
}

/// Why a job became a dead letter.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DeadLetterReason {
    Discarded,
    AttemptsExhausted,
    Undecodable,
}

impl DeadLetterReason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Discarded => "discarded",
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::Undecodable => "undecodable",
        }
    }
}

#[derive(Debug)]
struct Ack {
    id: JobId,
    claim: i32,
    outcome: Outcome,
}

impl Ack {
    fn sets_a_timer(&self) -> bool {
        matches!(self.outcome, Outcome::Retry { .. } | Outcome::Snooze { .. })
    }
}

/// Where outcomes are handed in. Cheap to clone; the writer ends when the last clone is gone.
#[derive(Debug, Clone)]
pub(crate) struct Acks {
    outcomes: mpsc::UnboundedSender<Ack>,
    waiting: Arc<AtomicUsize>,
}

impl Acks {
    /// Starts the writer. `nudge` is notified when a timer was set, which may be short, and `room` when outcomes were
    /// written.
    pub(crate) fn start(
        pool: PgPool,
        leases: Leases,
        nudge: Arc<Notify>,
        room: Arc<Notify>,
        heartbeat: Heartbeat,
    ) -> (Self, JoinHandle<()>) {
        let (outcomes, acks) = mpsc::unbounded_channel(); // bounded by the claimer, which looks at `waiting`
        let waiting = Arc::<AtomicUsize>::default();
        let writer = Writer {
            pool,
            leases,
            nudge,
            room,
            waiting: waiting.clone(),
        };
        (
            Self { outcomes, waiting },
            tokio::spawn(writer.run(acks, heartbeat)),
        )
    }

    /// How many outcomes are not written yet.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Hands in an outcome.
    pub(crate) fn record(&self, job: &Claimed, outcome: Outcome) {
        let ack = Ack {
            id: job.id,
            claim: job.claim,
            outcome,
        };
        self.waiting.fetch_add(1, Ordering::AcqRel);
        if let Err(mpsc::error::SendError(ack)) = self.outcomes.send(ack) {
            tracing::error!(
                job.id = ack.id,
                "outcome lost: the writer has ended; the job will run again"
            );
        }
    }

    /// Gives back a job that did not run to its end because we are stopping.
    pub(crate) fn release(&self, job: &Claimed) {
        self.record(
            job,
            Outcome::Snooze {
                delay: Duration::ZERO,
            },
        );
    }
}

struct Writer {
    pool: PgPool,
    leases: Leases,
    nudge: Arc<Notify>,
    room: Arc<Notify>,
    waiting: Arc<AtomicUsize>,
}

impl Writer {
    async fn run(self, mut acks: mpsc::UnboundedReceiver<Ack>, heartbeat: Heartbeat) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                received = acks.recv_many(&mut batch, BATCH) => if received == 0 { return },
                never = heartbeat.keep_beating() => match never {},
            }
            if !write_patiently(&self.pool, &batch, &heartbeat).await {
                // Singly, so that the one that the database refuses does not hold up its neighbours.
                for ack in &batch {
                    if !write_patiently(&self.pool, std::slice::from_ref(ack), &heartbeat).await {
                        tracing::error!(job.id = ack.id, "outcome refused; the job will run again");
                    }
                }
            }
            if batch.iter().any(Ack::sets_a_timer) {
                self.nudge.notify_one();
            }
            self.waiting.fetch_sub(batch.len(), Ordering::AcqRel);
            self.room.notify_one();
            self.leases
                .forget_all(batch.drain(..).map(|ack| (ack.id, ack.claim)));
        }
    }
}

/// Tries for as long as the database is away; false if it refuses what we write.
async fn write_patiently(pool: &PgPool, batch: &[Ack], heartbeat: &Heartbeat) -> bool {
    let (mut backoff, longest) = DATABASE_BACKOFF;
    heartbeat.beat();
    while let Err(error) = write(pool, batch).await {
        tracing::warn!(%error, waiting = batch.len(), "cannot acknowledge jobs");
        if is_about_the_data(&error) {
            return false;
        }
        heartbeat.sleep(backoff).await;
        backoff = (backoff * 2).min(longest);
    }
    true
}

/// Would the same statement fail again, whatever the state of the database? (SQLSTATE classes 22 and 23: data
/// exceptions and constraint violations.)
fn is_about_the_data(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

/// Error text as it may be stored: Postgres takes no NUL, and a page of text helps nobody.
pub(crate) fn storable(error: &str) -> String {
    let mut text = error.replace('\0', "\u{fffd}");
    if text.len() > ERROR_LENGTH {
        text.truncate(text.floor_char_boundary(ERROR_LENGTH));
        text.push('…');
    }
    text
}

async fn write(pool: &PgPool, batch: &[Ack]) -> Result<u64, sqlx::Error> {
    timeout(STATEMENT_TIMEOUT, write_batch(pool, batch))
        .await
        .map_err(|_| sqlx::Error::PoolTimedOut)?
}

/// Writes this outcome now; false if the fence refused it.
pub(crate) async fn write_one(
    pool: &PgPool,
    job: &Claimed,
    outcome: Outcome,
) -> Result<bool, sqlx::Error> {
    let ack = Ack {
        id: job.id,
        claim: job.claim,
        outcome,
    };
    Ok(write_batch(pool, &[ack]).await? == 1)
}

/// Answers how many were written; the fence refused the others.
async fn write_batch(pool: &PgPool, batch: &[Ack]) -> Result<u64, sqlx::Error> {
    let mut done = Done::default();
    let mut again = Again::default();
    let mut dead = Dead::default();
    for ack in batch {
        match &ack.outcome {
            Outcome::Complete => done.push(ack),
            Outcome::Retry { delay, error } => again.push(ack, *delay, 0, Some(error)),
            Outcome::Snooze { delay } => again.push(ack, *delay, 1, None),
            Outcome::DeadLetter { reason, error } => dead.push(ack, *reason, error),
        }
    }
    if again.ids.is_empty() && dead.ids.is_empty() {
        return done.write(&mut *pool.acquire().await?).await; // most batches: a transaction of its own
    }
    let mut tx = pool.begin().await?;
    let written =
        done.write(&mut tx).await? + again.write(&mut tx).await? + dead.write(&mut tx).await?;
    tx.commit().await?;
    Ok(written)
}

#[derive(Default)]
struct Done {
    ids: Vec<i64>,
    claims: Vec<i32>,
}

impl Done {
    fn push(&mut self, ack: &Ack) {
        self.ids.push(ack.id);
        self.claims.push(ack.claim);
    }

    async fn write(&self, conn: &mut sqlx::PgConnection) -> Result<u64, sqlx::Error> {
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
struct Again {
    ids: Vec<i64>,
    claims: Vec<i32>,
    delays: Vec<f64>,
    refunds: Vec<i16>,
    errors: Vec<Option<String>>,
}

impl Again {
    fn push(&mut self, ack: &Ack, delay: Duration, refund: i16, error: Option<&String>) {
        self.ids.push(ack.id);
        self.claims.push(ack.claim);
        self.delays.push(delay.min(LONGEST_DELAY).as_secs_f64());
        self.refunds.push(refund);
        self.errors.push(error.cloned());
    }

    /// What is ready again at once keeps its place in the line. Moves the fence on, so that nothing late finds the row:
    /// neither a renewal sent before, nor this statement sent again because the answer to its commit was lost.
    async fn write(&self, conn: &mut sqlx::PgConnection) -> Result<u64, sqlx::Error> {
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
struct Dead {
    ids: Vec<i64>,
    claims: Vec<i32>,
    reasons: Vec<String>,
    errors: Vec<String>,
}

impl Dead {
    fn push(&mut self, ack: &Ack, reason: DeadLetterReason, error: &str) {
        self.ids.push(ack.id);
        self.claims.push(ack.claim);
        self.reasons.push(reason.as_str().to_owned());
        self.errors.push(error.to_owned());
    }

    async fn write(&self, conn: &mut sqlx::PgConnection) -> Result<u64, sqlx::Error> {
        if self.ids.is_empty() {
            return Ok(0);
        }
        let written = sqlx::query!(
            "with buried as (
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
             from buried",
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
