//! The tables that the `jobs` commands print.

use chrono::{DateTime, Utc};
use queue::admin::{JobDetails, JobPage, JobState, ListedJob, QueueStats, WorkerList};

use crate::{
    cli::output::TextTable,
    presentation::{
        jobs::{count, job_details},
        text::{clipped, duration, one_line, relative},
    },
};

/// The most characters of an error that a list shows.
const ERROR_WIDTH: usize = 80;

pub(super) fn stats(stats: &QueueStats) -> String {
    if stats.kinds.is_empty() {
        return "The queue is empty, and no worker has started yet.".to_owned();
    }
    let mut table = TextTable::new(&[
        "KIND",
        ">AVAILABLE",
        ">RUNNING",
        ">SCHEDULED",
        ">DEAD",
        ">OLDEST",
        ">MINUTE",
        ">HOUR",
        ">FAILED",
        ">WORKERS",
        "PAUSED",
    ]);
    for kind in &stats.kinds {
        let oldest = kind.oldest_available_since;
        let paused = kind.paused_at.map(|at| {
            let reason = kind.paused_reason.as_ref();
            let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            format!("{}{reason}", relative(at, stats.at))
        });
        table.row([
            kind.kind.clone(),
            count(kind.available),
            count(kind.running),
            count(kind.scheduled),
            count(kind.dead),
            oldest.map_or_else(|| "-".to_owned(), |since| duration(stats.at - since)),
            kind.completed_last_minute.to_string(),
            kind.completed_last_hour.to_string(),
            kind.failed_last_hour.to_string(),
            kind.workers.to_string(),
            paused.unwrap_or_default(),
        ]);
    }
    table.text()
}

pub(super) fn workers(workers: &WorkerList) -> String {
    if workers.workers.is_empty() {
        return "No worker is running: start one with `pigeonhole worker`.".to_owned();
    }
    let mut table = TextTable::new(&[
        "NAME",
        ">STARTED",
        ">HEARTBEAT",
        "STATE",
        ">HELD",
        ">CONCURRENCY",
        "KINDS",
    ]);
    for worker in &workers.workers {
        table.row([
            worker.name.clone(),
            relative(worker.started_at, workers.at),
            relative(worker.seen_at, workers.at),
            if worker.stale { "stale" } else { "ok" }.to_owned(),
            worker.held.to_string(),
            worker.concurrency.to_string(),
            worker.kinds.join(", "),
        ]);
    }
    table.text()
}

fn when(job: &ListedJob, now: DateTime<Utc>) -> String {
    let at = |at: Option<DateTime<Utc>>| at.map_or_else(String::new, |at| relative(at, now));
    match job.state {
        JobState::Available => format!("since {}", at(job.due_at).trim_end_matches(" ago")),
        JobState::Scheduled => format!("due {}", at(job.due_at)),
        JobState::Running => {
            let worker = job.worker.as_deref().unwrap_or_default();
            format!("on {worker}, lease ends {}", at(job.lease_until))
        }
        JobState::Dead => {
            let reason = job.reason.as_deref().unwrap_or_default();
            format!("{reason} {}", at(job.died_at))
        }
    }
}

pub(super) fn page(page: &JobPage) -> String {
    let mut table = TextTable::new(&[
        ">ID",
        "KIND",
        "STATE",
        ">ATTEMPTS",
        ">ENQUEUED",
        "WHEN",
        "ERROR",
    ]);
    for job in &page.jobs {
        let when = when(job, page.at);
        table.row([
            job.id.to_string(),
            job.kind.clone(),
            job.state.as_str().to_owned(),
            format!("{}/{}", job.attempts, job.max_attempts),
            relative(job.created_at, page.at),
            when,
            clipped(job.last_error.as_deref().unwrap_or_default(), ERROR_WIDTH),
        ]);
    }
    let mut text = if page.jobs.is_empty() {
        "No job matches.\n".to_owned()
    } else {
        table.text()
    };
    if let Some(next) = page.next {
        text.extend([
            "There may be more: add --after ",
            &next.to_string(),
            " to see the next page.\n",
        ]);
    }
    if page.partial {
        text += "The queue has too many running and scheduled jobs to look at all of them: running jobs \
                 whose lease ends late may be missing from this list.\n";
    }
    text
}

pub(super) fn job(job: &JobDetails) -> String {
    let line = |(name, value): &(String, String)| format!("{name:<16} {}\n", one_line(value));
    job_details(job).iter().map(line).collect()
}
