//! The commands that change something.

use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{DateTime, SecondsFormat, Utc};
use queue::admin::{self, ChangedJob, DeadLetterCursor, JobChange, PauseResult, RequeueResult};
use serde::Serialize;
use sqlx::PgConnection;

use super::args::{Ids, RequeueArgs};
use crate::cli::output::{Output, Table};

/// How long a bulk requeue goes on.
const LONG_ENOUGH: Duration = Duration::from_secs(5);

pub(super) async fn retry(conn: &mut PgConnection, ids: Ids) -> anyhow::Result<()> {
    let mut tx = admin::begin(conn).await?;
    let jobs = admin::retry(&mut tx, &ids.ids).await?;
    tx.commit().await?;
    admin::wake(conn).await?;
    report(ids.output, jobs, "retried", |change| match change {
        JobChange::Done => "available now",
        JobChange::AlreadyAvailable => "available already",
        JobChange::Running => {
            "left alone: it is running. It is retried when it fails or its lease ends"
        }
        JobChange::Dead => "left alone: it is a dead letter. Put it back with `jobs requeue`",
        JobChange::NotFound => NOT_FOUND,
    })
}

pub(super) async fn discard(conn: &mut PgConnection, ids: Ids, force: bool) -> anyhow::Result<()> {
    let mut tx = admin::begin(conn).await?;
    let jobs = admin::discard(&mut tx, &ids.ids, force).await?;
    tx.commit().await?;
    report(ids.output, jobs, "discarded", |change| match change {
        JobChange::Done => "a dead letter now",
        JobChange::Running => "left alone: it is running. Add --force to take it from its worker",
        JobChange::Dead => "a dead letter already",
        JobChange::AlreadyAvailable | JobChange::NotFound => NOT_FOUND,
    })
}

const NOT_FOUND: &str = "not found: it has completed, or was never enqueued";

#[derive(Serialize)]
struct Jobs {
    jobs: Vec<ChangedJob>,
}

/// Prints what became of each; an error if any was left alone that should not have been.
fn report(
    output: Output,
    jobs: Vec<ChangedJob>,
    done: &str,
    words: impl Fn(JobChange) -> &'static str,
) -> anyhow::Result<()> {
    let jobs = Jobs { jobs };
    output.print(&jobs, |jobs| {
        let mut table = Table::new(&[">ID", "RESULT"]);
        for job in &jobs.jobs {
            let worker = match (&job.worker, job.result) {
                (Some(worker), JobChange::Running) => format!(" (on {worker})"),
                _ => String::new(),
            };
            table.row([job.id.to_string(), format!("{}{worker}", words(job.result))]);
        }
        table.text()
    })?;
    let fine =
        |job: &&ChangedJob| matches!(job.result, JobChange::Done | JobChange::AlreadyAvailable);
    let (all, left) = (
        jobs.jobs.len(),
        jobs.jobs.len() - jobs.jobs.iter().filter(fine).count(),
    );
    anyhow::ensure!(left == 0, "{left} of {all} jobs were not {done}");
    Ok(())
}

#[derive(Serialize)]
struct RequeueReport {
    #[serde(flatten)]
    result: RequeueResult,
    /// There may be more, which died at this time or later.
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
        "no dead letters: {} (see `jobs show`)",
        numbers(&report.result.not_dead)
    );
    Ok(())
}

fn requeued(report: &RequeueReport) -> String {
    let result = &report.result;
    let mut lines = vec![format!("{} dead letters are jobs again", result.requeued)];
    if !result.key_taken.is_empty() {
        let (stay, ids) = (result.key_taken.len(), numbers(&result.key_taken));
        lines.push(format!(
            "{stay} stay: a live job has their unique key ({ids})"
        ));
    }
    if let Some(next) = report.next {
        let next = next.to_rfc3339_opts(SecondsFormat::Micros, true);
        lines.push(format!(
            "There may be more: run it again with --after {next}"
        ));
    }
    lines.join("\n")
}

/// Batch by batch, each committed, so that no transaction is long and what was done stays done. Ends at the limit, or
/// when it has taken long enough.
async fn requeue_all(
    conn: &mut PgConnection,
    args: &RequeueArgs,
) -> anyhow::Result<(RequeueResult, Option<DateTime<Utc>>)> {
    let limit = usize::try_from(args.limit)?;
    let begun = Instant::now();
    let mut result = RequeueResult::default();
    let mut place = None;
    while result.requeued < limit && begun.elapsed() < LONG_ENOUGH {
        let left = limit - result.requeued;
        let done = batch(conn, args, left, place).await;
        let (batch, next) = done.with_context(|| {
            format!(
                "stopped when {} dead letters were jobs again",
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

/// The first few of them.
fn numbers(ids: &[i64]) -> String {
    let shown: Vec<String> = ids.iter().take(10).map(i64::to_string).collect();
    let more = if ids.len() > shown.len() { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

pub(super) async fn pause(
    conn: &mut PgConnection,
    kind: &str,
    reason: Option<&str>,
    output: Output,
) -> anyhow::Result<()> {
    let mut tx = admin::begin(conn).await?;
    let pause = admin::pause(&mut tx, kind, reason).await?;
    tx.commit().await?;
    output.print(&pause, |pause| {
        let now = if pause.changed {
            "paused"
        } else {
            "was paused already"
        };
        format!("{} {now}; running jobs go on{}", pause.kind, hint(pause))
    })
}

pub(super) async fn resume(
    conn: &mut PgConnection,
    kind: &str,
    output: Output,
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
        "\nNo worker and no job is of this kind: check its name with `pigeonhole jobs stats`."
    }
}
