//! Acknowledgements: outcomes of attempts are written in batches, each write under its fence.
//!
//! No acknowledgement is dropped while the process lives: during a database outage the batch is
//! tried again until it is written. If the process dies first, the lease runs out and the job runs
//! again: at least once.

mod statements;

use std::{sync::Arc, time::Duration};

use group_commit::{BatchOperation, Limits, OnError, Submitter};
use sqlx::PgConnection;
use tokio::{sync::Notify, task::JoinHandle};

use crate::{
    attempt::Fence,
    claimed::ClaimedJob,
    database::retry_pause,
    lease::Leases,
    outcome::{Ack, Outcome},
    pool::Pool,
    watchdog::Heartbeat,
};

/// The most acknowledgements in one transaction.
const BATCH: usize = 1000;

/// How long that transaction may take. Its connection may have gone silent.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// Where workers submit outcomes. Cheap to clone. The task that writes them ends after the last
/// clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Acks(Submitter<WriteAcks>);

impl Acks {
    /// Starts the task that writes outcomes.
    pub(crate) fn start(operation: WriteAcks) -> (Self, JoinHandle<()>) {
        // The queue has no bound of its own: the claimer stops at a number of unwritten outcomes.
        let limits = Limits {
            idle_progress: operation.heartbeat.interval(),
            ..Limits::unbounded(BATCH, WRITE_LIMIT)
        };
        let (submitter, receiver) = Submitter::new(limits);
        (Self(submitter), tokio::spawn(receiver.run(operation)))
    }

    /// The number of outcomes that are not written yet.
    pub(crate) fn unwritten(&self) -> usize {
        self.0.pending()
    }

    /// Submits the outcome of an attempt.
    pub(crate) fn record(&self, job: &ClaimedJob, outcome: Outcome) {
        let ack = Ack {
            fence: job.fence,
            outcome,
        };
        match self.0.submit_detached(ack) {
            Ok(()) => {}
            Err(error) => tracing::error!(
                %error,
                job.id = job.fence.job,
                "outcome lost; the job will run again"
            ),
        }
    }

    /// Gives back a job that was claimed and did not run to its end, through no fault of its own.
    pub(crate) fn release(&self, job: &ClaimedJob) {
        self.record(job, Outcome::release());
    }
}

/// Writes a batch of acknowledgements.
#[derive(Debug)]
pub(crate) struct WriteAcks {
    pub(crate) pool: Pool,
    pub(crate) leases: Leases,
    /// Notified when a job waits for a timer, which may be a short one.
    pub(crate) timer_set: Arc<Notify>,
    /// Notified when outcomes were written: the claimer may continue.
    pub(crate) room: Arc<Notify>,
    pub(crate) heartbeat: Heartbeat,
}

impl BatchOperation for WriteAcks {
    type Request = Ack;
    type Response = ();
    type Error = sqlx::Error;

    async fn execute(&self, acks: &[&Ack]) -> Result<Vec<()>, sqlx::Error> {
        match statements::write(&self.pool, acks).await {
            Ok(_) => Ok(vec![(); acks.len()]), // what the fence refused needs no other treatment
            Err(error) => {
                if let [ack] = acks
                    && is_about_the_data(&error)
                {
                    let job_id = ack.fence.job;
                    tracing::error!(job.id = job_id, "outcome refused; the job will run again");
                }
                Err(error)
            }
        }
    }

    fn on_error(&self, error: Option<&sqlx::Error>, acks: usize, tries: u32) -> OnError {
        if let Some(error) = error {
            tracing::warn!(%error, acks, "cannot acknowledge jobs");
        } else {
            tracing::warn!(
                acks,
                "cannot acknowledge jobs: the database does not respond"
            );
        }
        if error.is_some_and(is_about_the_data) {
            OnError::Split // one refused outcome must not hold up the others
        } else {
            OnError::Retry(retry_pause(tries))
        }
    }

    fn finished(&self, acks: &[Ack]) {
        if acks.iter().any(Ack::sets_timer) {
            self.timer_set.notify_one();
        }
        self.room.notify_one();
        self.leases.remove_all(acks.iter().map(|ack| ack.fence));
    }

    fn progress(&self) {
        self.heartbeat.beat();
    }

    async fn pause(&self, pause: Duration) {
        self.heartbeat.sleep(pause).await;
    }
}

/// True if the same statement would fail again, whatever the state of the database: SQLSTATE
/// classes 22 (data exceptions) and 23 (constraint violations).
fn is_about_the_data(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

/// Makes a job a dead letter in the caller's transaction. False if the fence refused it.
pub(crate) async fn discard(
    conn: &mut PgConnection,
    fence: Fence,
    error: &str,
) -> Result<bool, sqlx::Error> {
    let outcome = Outcome::discarded(error);
    statements::write_in(conn, &[&Ack { fence, outcome }])
        .await
        .map(|written| written == 1)
}

/// Writes this outcome now. False if the fence refused it.
pub(crate) async fn write_one(
    pool: &Pool,
    job: &ClaimedJob,
    outcome: Outcome,
) -> Result<bool, sqlx::Error> {
    let ack = Ack {
        fence: job.fence,
        outcome,
    };
    Ok(statements::write(pool, &[&ack]).await? == 1)
}
