//! Checks the queue: whether workers run, and which jobs need an operator.

use ::queue::{
    JobArgs,
    admin::{self, AdminError, KindStats, QueueStats, WorkerList},
};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use store::job_args::{RecoverMessages, SendReply, SendVerification};

use super::finding::Finding;
use crate::{presentation::text::duration, worker::KINDS};

/// The kinds that a worker runs only if it has a number or a service to send from.
const SENDING: [&str; 2] = [SendReply::NAME, SendVerification::NAME];

/// A job that has waited for longer than this is a warning.
const LONG: TimeDelta = TimeDelta::minutes(1);

/// A job that has waited for longer than this is a fault: the backlog will not clear without an
/// operator.
const TOO_LONG: TimeDelta = TimeDelta::minutes(10);

pub(super) async fn check(conn: &mut PgConnection) -> Vec<Finding> {
    match read(conn).await {
        Ok((stats, workers)) => judge(&stats, &workers),
        Err(error) => vec![Finding::failed("queue", error)],
    }
}

async fn read(conn: &mut PgConnection) -> Result<(QueueStats, WorkerList), AdminError> {
    let mut tx = admin::begin(conn).await?;
    let stats = admin::stats(&mut tx).await?;
    let workers = admin::workers(&mut tx).await?;
    tx.rollback().await?;
    Ok((stats, workers))
}

fn judge(stats: &QueueStats, workers: &WorkerList) -> Vec<Finding> {
    let mut findings = worker_findings(workers);
    let is_any_running = workers.workers.iter().any(|worker| !worker.stale);
    let kinds = stats.kinds.iter();
    findings.extend(kinds.filter_map(|kind| unknown_kind(kind, is_any_running)));
    let kinds = || stats.kinds.iter();
    all_or(
        &mut findings,
        kinds().filter_map(paused),
        "paused",
        "no kind of job is paused",
    );
    all_or(
        &mut findings,
        kinds().filter_map(dead_letters),
        "dead_letters",
        "there are no dead letters",
    );
    all_or(
        &mut findings,
        kinds().filter_map(|kind| waiting(kind, stats.at)),
        "waiting",
        "no job has waited for long",
    );
    findings
}

/// Adds the findings, or one that says that there is no problem.
fn all_or(
    findings: &mut Vec<Finding>,
    found: impl Iterator<Item = Finding>,
    check: &'static str,
    no_problem: &str,
) {
    let before = findings.len();
    findings.extend(found);
    if findings.len() == before {
        findings.push(Finding::ok(check, no_problem));
    }
}

fn worker_findings(workers: &WorkerList) -> Vec<Finding> {
    let check = "workers";
    let start = "pigeonhole worker";
    let stale = workers.workers.iter().filter(|worker| worker.stale).count();
    let live = workers.workers.len() - stale;
    let mut findings = vec![match live {
        0 => Finding::fault(
            check,
            "no worker is running: messages are accepted but not processed",
            start,
        ),
        1 => Finding::ok(check, "one worker is running"),
        live => Finding::ok(check, format!("{live} workers are running")),
    }];
    if stale > 0 {
        findings.push(Finding::warning(
            check,
            format!("{stale} workers have sent no heartbeat for half a minute and were not stopped normally"),
            "run pigeonhole jobs workers, and restart those marked stale",
        ));
    }
    findings
}

fn jobs(kind: &KindStats) -> i64 {
    kind.available.count + kind.running.count + kind.scheduled.count
}

/// Jobs of a kind that no worker runs.
fn unknown_kind(kind: &KindStats, is_any_running: bool) -> Option<Finding> {
    let (name, jobs) = (&kind.kind, jobs(kind));
    let known = KINDS.contains(&name.as_str());
    if jobs == 0 || kind.workers > 0 || (known && !is_any_running) {
        return None;
    }
    let fix = if !known {
        format!(
            "start a worker of the version that knows the kind, or discard the jobs: pigeonhole jobs list --kind {name}"
        )
    } else if SENDING.contains(&name.as_str()) {
        "set TWILIO_PHONE_NUMBER or TWILIO_MESSAGING_SERVICE_SID for the workers, and restart them"
            .to_owned()
    } else if name == RecoverMessages::NAME {
        "set RECOVERY=on and PUBLIC_BASE_URL for the workers, and restart them; or set RECOVERY=off for the receivers"
            .to_owned()
    } else {
        "start a worker of this version: pigeonhole worker".to_owned()
    };
    let whose = if known { "" } else { " and not this program" };
    Some(Finding::fault(
        "kinds",
        format!("there are {jobs} jobs of the kind {name}, which no worker{whose} runs"),
        fix,
    ))
}

fn paused(kind: &KindStats) -> Option<Finding> {
    let reason = match &kind.paused_reason {
        _ if kind.paused_at.is_none() => return None,
        Some(reason) => format!(": {reason}"),
        None => String::new(),
    };
    let waiting = kind.available.count;
    let says = format!(
        "{} is paused, with {waiting} jobs waiting{reason}",
        kind.kind
    );
    let fix = format!("pigeonhole jobs resume {}", kind.kind);
    Some(if waiting > 0 {
        Finding::fault("paused", says, fix)
    } else {
        Finding::warning("paused", says, fix)
    })
}

fn dead_letters(kind: &KindStats) -> Option<Finding> {
    let (name, dead) = (&kind.kind, kind.dead.count);
    (dead > 0).then(|| {
        Finding::warning(
            "dead_letters",
            format!("{dead} jobs of the kind {name} are dead letters"),
            format!(
                "pigeonhole jobs list --state dead --kind {name}; when the cause is fixed: pigeonhole jobs requeue --kind \
                 {name}"
            ),
        )
    })
}

/// Jobs that wait although their kind is not paused and workers run it.
fn waiting(kind: &KindStats, now: DateTime<Utc>) -> Option<Finding> {
    let waited = now - kind.oldest_available_since?;
    if kind.paused_at.is_some() || kind.workers == 0 || waited < LONG {
        return None;
    }
    let says = format!(
        "the oldest job of the kind {} has been available for {}, with {} workers that run it",
        kind.kind,
        duration(waited),
        kind.workers
    );
    let fix = "start more workers, or raise WORKER_CONCURRENCY; pigeonhole jobs stats shows whether that helps";
    Some(if waited < TOO_LONG {
        Finding::warning("waiting", says, fix)
    } else {
        Finding::fault("waiting", says, fix)
    })
}
