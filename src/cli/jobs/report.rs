//! What the queue says, as text.

use chrono::{DateTime, Utc};
use queue::admin::{
    CountPrecision, JobCount, JobDetails, JobPage, JobState, ListedJob, QueueStats, WorkerList,
};

use crate::cli::output::{Table, clipped, duration, plain, relative, time};

/// The most of an error that a list shows.
const ERROR_WIDTH: usize = 80;

/// How many, and how well that is known.
pub(crate) fn count(count: JobCount) -> String {
    match count.precision {
        CountPrecision::Exact => count.count.to_string(),
        CountPrecision::AtLeast => format!("{}+", count.count),
        CountPrecision::About => format!("~{}", count.count),
    }
}

pub(super) fn stats(stats: &QueueStats) -> String {
    if stats.kinds.is_empty() {
        return "The queue is empty, and no worker has been here.".to_owned();
    }
    let mut table = Table::new(&[
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
        return "No worker is at work: start one with `pigeonhole worker`.".to_owned();
    }
    let mut table = Table::new(&[
        "NAME", ">STARTED", ">SEEN", "STATE", ">HELD", ">SLOTS", "KINDS",
    ]);
    for worker in &workers.workers {
        table.row([
            worker.name.clone(),
            relative(worker.started_at, workers.at),
            relative(worker.seen_at, workers.at),
            if worker.stale { "stale" } else { "ok" }.to_owned(),
            worker.held.to_string(),
            worker.slots.to_string(),
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
    let mut table = Table::new(&[
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
        "No such job here.\n".to_owned()
    } else {
        table.text()
    };
    if let Some(next) = page.next {
        text.extend(["There may be more: add --after ", &next.to_string(), ".\n"]);
    }
    if page.partial {
        text += "There are very many timers: running jobs whose lease ends late may be missing.\n";
    }
    text
}

pub(super) fn job(job: &JobDetails) -> String {
    let line = |(name, value): &(String, String)| format!("{name:<16} {}\n", plain(value));
    lines(job).iter().map(line).collect()
}

/// All that is known of a job, by name.
pub(crate) fn lines(job: &JobDetails) -> Vec<(String, String)> {
    let mut lines = vec![
        ("job", job.id.to_string()),
        ("kind", job.kind.clone()),
        ("state", job.state.as_str().to_owned()),
        (
            "attempts",
            format!("{} of {}", job.attempts, job.max_attempts),
        ),
    ];
    if job.paused {
        lines.push((
            "paused",
            "nobody claims this kind until `pigeonhole jobs resume`".to_owned(),
        ));
    }
    let at = |at| time(at, job.at);
    lines.push(("enqueued", at(job.created_at)));
    let due = if job.state == JobState::Available {
        "available since"
    } else {
        "due"
    };
    let texts = [
        (due, job.due_at.map(at)),
        ("claimed", job.claimed_at.map(at)),
        ("claims", job.claims.map(|claims| claims.to_string())),
        ("lease ends", job.lease_until.map(at)),
        ("worker", job.worker.clone()),
        ("died", job.died_at.map(at)),
        ("reason", job.reason.clone()),
        ("lane", job.lane.clone()),
        ("unique key", job.unique_key.clone()),
        ("trace", job.trace.clone()),
    ];
    let texts = texts.into_iter();
    lines.extend(texts.filter_map(|(name, text)| Some((name, text?))));
    if job.priority != 0 {
        lines.push(("priority", job.priority.to_string()));
    }
    lines.push(("args", job.args.get().to_owned()));
    let errors = job.errors.iter().map(|error| {
        let value = format!("{}  {}", at(error.at), error.error);
        (format!("error {}", error.attempt), value)
    });
    let lines = lines.into_iter();
    let lines = lines.map(|(name, value)| (name.to_owned(), value));
    lines.chain(errors).collect()
}
