//! The facts about a job, as text.

use queue::admin::{CountPrecision, JobCount, JobDetails, JobState};

use super::text::time;

/// A count with a mark for its precision: `~` for an estimate, `+` for a lower bound.
pub(crate) fn count(count: JobCount) -> String {
    match count.precision {
        CountPrecision::Exact => count.count.to_string(),
        CountPrecision::AtLeast => format!("{}+", count.count),
        CountPrecision::About => format!("~{}", count.count),
    }
}

/// All facts about a job, as pairs of name and value.
pub(crate) fn job_details(job: &JobDetails) -> Vec<(String, String)> {
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
            "no worker claims this kind until `pigeonhole jobs resume`".to_owned(),
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
