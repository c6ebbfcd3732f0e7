//! Enqueues jobs at the times of cron expressions, in UTC.
//!
//! The next time of a schedule is stored in the database. The process that finds it due enqueues
//! the job and moves the time on in one transaction, so a crash neither loses a run nor doubles it.
//! The job's unique key keeps two runs from being in the queue at once. After an outage, one run
//! makes up for all times that passed.

use chrono::{DateTime, Utc};
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use sqlx::PgConnection;

use crate::{
    enqueue::{EnqueueError, NewJob, enqueue_all},
    job::JobArgs,
    pool::Pool,
};

/// An invalid cron expression.
#[derive(Debug, thiserror::Error)]
#[error("`{expression}` is not a cron expression: it needs five fields, such as `15 3 * * *`")]
pub struct InvalidCron {
    /// The expression.
    pub expression: String,
}

/// One schedule.
#[derive(Debug, Clone)]
struct Schedule {
    name: String,
    expression: String,
    cron: Cron,
    job: NewJob,
}

/// The schedules that a process knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schedules {
    names: Vec<String>,
    all: Vec<Schedule>,
}

impl Schedules {
    pub(crate) fn add<J: JobArgs>(
        &mut self,
        name: &str,
        expression: &str,
        job: &J,
    ) -> Result<(), ScheduleError> {
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser.parse(expression).map_err(|_| InvalidCron {
            expression: expression.to_owned(),
        })?;
        let job = NewJob::of(job)?.unique_key(format!("schedule:{name}"));
        self.names.push(name.to_owned());
        self.all.push(Schedule {
            name: name.to_owned(),
            expression: expression.to_owned(),
            cron,
            job,
        });
        Ok(())
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Stores the schedules in the database. A new schedule, or one whose expression has changed,
    /// starts from now.
    pub(crate) async fn store(&self, pool: &Pool) -> Result<(), sqlx::Error> {
        let mut conn = pool.acquire().await?;
        let now = now(&mut conn).await?;
        for schedule in &self.all {
            sqlx::query!(
                "insert into queue.schedules as s (name, cron, next_run_at) values ($1, $2, $3)
                 on conflict (name) do update set cron = excluded.cron, next_run_at = excluded.next_run_at
                 where s.cron <> excluded.cron",
                schedule.name,
                schedule.expression,
                schedule.after(now),
            )
            .execute(&mut *conn)
            .await?;
        }
        Ok(())
    }

    /// Enqueues the jobs of due schedules and moves their times on.
    pub(crate) async fn enqueue_due(&self, pool: &Pool) -> Result<(), EnqueueError> {
        let mut tx = pool.begin().await?;
        let now = now(&mut tx).await?;
        let due = sqlx::query_scalar!(
            "select name from queue.schedules where name = any($1) and next_run_at <= now()
             for update skip locked",
            &self.names,
        )
        .fetch_all(&mut *tx)
        .await?;
        for schedule in self
            .all
            .iter()
            .filter(|schedule| due.contains(&schedule.name))
        {
            let enqueued = enqueue_all(&mut tx, std::slice::from_ref(&schedule.job)).await?;
            if enqueued == [None] {
                tracing::warn!(
                    schedule = schedule.name,
                    "the previous run has not ended: this run is skipped"
                );
            }
            sqlx::query!(
                "update queue.schedules set next_run_at = $2, last_run_at = now() where name = $1",
                schedule.name,
                schedule.after(now),
            )
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

impl Schedule {
    /// The next time after this one. The last possible time if the expression has no next time.
    fn after(&self, time: DateTime<Utc>) -> DateTime<Utc> {
        self.cron
            .find_next_occurrence(&time, false)
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

async fn now(conn: &mut PgConnection) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"select now() as "now!""#)
        .fetch_one(conn)
        .await
}

/// Why a schedule cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// Its cron expression is invalid.
    #[error(transparent)]
    Cron(#[from] InvalidCron),
    /// Its job cannot be stored.
    #[error(transparent)]
    Job(#[from] EnqueueError),
}
