//! The `jobs` commands that change the queue.

use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{DateTime, SecondsFormat, Utc};
use queue::admin::{self, ChangedJob, DeadLetterCursor, JobChange, PauseResult, RequeueResult};
use serde::Serialize;
use sqlx::PgConnection;

use super::args::{JobIds, RequeueArgs};
use crate::cli::output::{OutputFormat, TextTable};

/// A bulk requeue stops after this time and says how to continue.
const BULK_LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn retry(conn: &mut PgConnection, ids: JobIds) -> anyhow::Result<()> {
    let mut tx = admin::begin(conn).await?;
    let jobs = admin::retry(&mut tx, &ids.ids).await?;
    tx.commit().await?;
    admin::wake(conn).await?;
    report(ids.output, jobs, "retried", |change| match change {
        JobChange::Done => "is now available",
        JobChange::AlreadyAvailable => "was already available",
        JobChange::Running => {
            "not changed: it is running. It is retried when it fails or its lease ends"
        }
        JobChange::Dead => "not changed: it is a dead letter. Put it back with `jobs requeue`",
        JobChange::NotFound => NOT_FOUND,
    })
}

pub(super) async fn discard(
    conn: &mut PgConnection,
    ids: JobIds,
    force: bool,
) -> anyhow::Result<()> {
    let mut tx = admin::begin(conn).await?;
    let jobs = admin::discard(&mut tx, &ids.ids, force).await?;
    tx.commit().await?;
    report(ids.output, jobs, "discarded", |change| match change {
        JobChange::Done => "is now a dead letter",
        JobChange::Running => "not changed: it is running. Add --force to take it from its worker",
        JobChange::Dead => "was already a dead letter",
        JobChange::AlreadyAvailable | JobChange::NotFound => NOT_FOUND,
    })
}

const NOT_FOUND: &str = "not found: it has completed, or it was never enqueued";

#[derive(Serialize)]
struct ChangedJobs {
    jobs: Vec<ChangedJob>,
}

/// Prints the result for each job. Fails if a job could not be changed.
fn report(
    output: OutputFormat,
    jobs: Vec<ChangedJob>,
    done: &str,
    describe: impl Fn(JobChange) -> &'static str,
) -> anyhow::Result<()> {
    let jobs = ChangedJobs { jobs };
    output.print(&jobs, |jobs| {
        let mut table = TextTable::new(&[">ID", "RESULT"]);
        for job in &jobs.jobs {
            let worker = match (&job.worker, job.result) {
                (Some(worker), JobChange::Running) => format!(" (on {worker})"),
                _ => String::new(),
            };
            table.row([
                job.id.to_string(),
                format!("{}{worker}", describe(job.result)),
            ]);
        }
        table.text()
    })?;
    let is_done =
        |job: &&ChangedJob| matches!(job.result, JobChange::Done | JobChange::AlreadyAvailable);
    let (all, unchanged) = (
        jobs.jobs.len(),
        jobs.jobs.len() - jobs.jobs.iter().filter(is_done).count(),
    );
    anyhow::ensure!(unchanged == 0, "{unchanged} of {all} jobs were not {done}");
    Ok(())
}

#[derive(Serialize)]
struct RequeueReport {
    #[serde(flatten)]
    result: RequeueResult,
    /// There may be more dead letters, which died at this time or later.
    next: Option<DateTime<Utc>>,
}

pub(super) async fn requeue(conn: &mut PgConnection, args: RequeueArgs) -> anyhow::Result<()> {
    let (result, next) = if args.ids.is_empty() {
        requeue_all(conn, &args).await?
    } else {
        let mut tx = admin::begin(conn).await?;
        let result = admin::requeue(&mut tx, &args.ids).await?;
        tx.commit().await?;
        (result, None)
    };
    admin::wake(conn).await?;
    let missing = result.not_dead.len();
    let report = RequeueReport { result, next };
    args.output.print(&report, requeued)?;
    anyhow::ensure!(
        missing == 0,
        "not dead letters: {} (see `jobs show`)",
        first_ids(&report.result.not_dead)
    );
    Ok(())
}

fn requeued(report: &RequeueReport) -> String {
    let result = &report.result;
    let mut lines = vec![format!(
        "dead letters put back into the queue: {}",
        result.requeued
    )];
    if !result.key_taken.is_empty() {
        let (stay, ids) = (result.key_taken.len(), first_ids(&result.key_taken));
        lines.push(format!(
            "dead letters that stay, because a live job has the same unique key: {stay} ({ids})"
        ));
    }
    if let Some(next) = report.next {
        let next = next.to_rfc3339_opts(SecondsFormat::Micros, true);
        lines.push(format!(
            "There may be more: run the command again with --after {next}"
        ));
    }
    lines.join("\n")
}

/// Puts dead letters back in batches. Each batch is committed, so that no transaction is long and
/// an error undoes only its own batch. Stops at the limit, or after [`BULK_LIMIT`].
async fn requeue_all(
    conn: &mut PgConnection,
    args: &RequeueArgs,
) -> anyhow::Result<(RequeueResult, Option<DateTime<Utc>>)> {
    let limit = usize::try_from(args.limit)?;
    let begun = Instant::now();
    let mut result = RequeueResult::default();
    let mut place = None;
    while result.requeued < limit && begun.elapsed() < BULK_LIMIT {
        let left = limit - result.requeued;
        let done = batch(conn, args, left, place).await;
        let (batch, next) = done.with_context(|| {
            format!(
                "stopped after {} dead letters were put back",
                result.requeued
            )
        })?;
        result.add(batch);
        place = next;
        if place.is_none() {
            break;
        }
    }
    Ok((result, place.map(|place| place.died_at)))
}

async fn batch(
    conn: &mut PgConnection,
    args: &RequeueArgs,
    limit: usize,
    from: Option<DeadLetterCursor>,
) -> anyhow::Result<(RequeueResult, Option<DeadLetterCursor>)> {
    let mut tx = admin::begin(conn).await?;
    let batch = admin::requeue_all(&mut tx, &args.filter(), limit, from).await?;
    tx.commit().await?;
    Ok(batch)
}

/// The first ten ids.
fn first_ids(ids: &[i64]) -> String {
    let shown: Vec<String> = ids.iter().take(10).map(i64::to_string).collect();
    let more = if ids.len() > shown.len() { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

pub(super) async fn pause(
    conn: &mut PgConnection,
    kind: &str,
    reason: Option<&str>,
    output: OutputFormat,
) -> anyhow::Result<()> {
    let mut tx = admin::begin(conn).await?;
    let pause = admin::pause(&mut tx, kind, reason).await?;
    tx.commit().await?;
    output.print(&pause, |pause| {
        let now = if pause.changed {
            "paused"
        } else {
            "was already paused"
        };
        format!("{} {now}; running jobs continue{}", pause.kind, hint(pause))
    })
}

pub(super) async fn resume(
    conn: &mut PgConnection,
    kind: &str,
    output: OutputFormat,
) -> anyhow::Result<()> {
    let mut tx = admin::begin(conn).await?;
    let pause = admin::resume(&mut tx, kind).await?;
    tx.commit().await?;
    admin::wake(conn).await?;
    output.print(&pause, |pause| {
        let now = if pause.changed {
            "resumed"
        } else {
            "was not paused"
        };
        format!("{} {now}{}", pause.kind, hint(pause))
    })
}

fn hint(pause: &PauseResult) -> &'static str {
    if pause.known {
        ""
    } else {
        "\nNo worker runs this kind and no job has it: check the name with `pigeonhole jobs stats`."
    }
}
