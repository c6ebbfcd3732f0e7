//! The arguments of the `jobs` commands.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::{Args, ValueEnum};
use queue::admin::{DeadLetterFilter, JobFilter, JobState};

use crate::cli::output::OutputFormat;

#[derive(Debug, Args)]
pub(in crate::cli) struct JobIds {
    /// The ids of the jobs.
    #[arg(required = true, value_name = "ID", num_args = 1..=1000)]
    pub(super) ids: Vec<i64>,
    #[command(flatten)]
    pub(super) output: OutputFormat,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct JobListArgs {
    /// Only jobs of this kind.
    #[arg(long)]
    kind: Option<String>,
    /// Only jobs in this state [default: all states but dead].
    #[arg(long, value_enum)]
    state: Option<JobStateArg>,
    /// Only jobs whose last error contains this text; upper and lower case are the same.
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// The most jobs to list.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Only jobs with a higher id. Use it to get the next page.
    #[arg(long, value_name = "ID")]
    after: Option<i64>,
    #[command(flatten)]
    output: OutputFormat,
}

impl JobListArgs {
    pub(super) fn into_filter(self) -> (JobFilter, OutputFormat) {
        let state = self.state.map(|state| match state {
            JobStateArg::Available => JobState::Available,
            JobStateArg::Running => JobState::Running,
            JobStateArg::Scheduled => JobState::Scheduled,
            JobStateArg::Dead => JobState::Dead,
        });
        let filter = JobFilter {
            kind: self.kind,
            state,
            error: self.error,
            after: self.after,
            limit: self.limit,
        };
        (filter, self.output)
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum JobStateArg {
    /// A worker may claim the job now.
    Available,
    /// A worker holds a lease on the job.
    Running,
    /// The job waits for a later time: it was delayed, it failed, or it was snoozed.
    Scheduled,
    /// The job is a dead letter.
    Dead,
}

#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = true, args = ["ids", "kind", "error", "after", "before", "all"])]
pub(in crate::cli) struct RequeueArgs {
    /// The ids of the dead letters.
    #[arg(value_name = "ID", num_args = 1..=1000, conflicts_with_all = ["kind", "error", "after", "before", "all", "limit"])]
    pub(super) ids: Vec<i64>,
    /// Dead letters of this kind.
    #[arg(long)]
    kind: Option<String>,
    /// Dead letters whose last error contains this text; upper and lower case are the same.
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// Jobs that died at this time or later: 2026-01-31, or 2026-01-31T18:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    after: Option<DateTime<Utc>>,
    /// Jobs that died before this time: 2026-01-31, or 2026-01-31T18:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    before: Option<DateTime<Utc>>,
    /// All dead letters.
    #[arg(long, conflicts_with_all = ["kind", "error", "after", "before"])]
    all: bool,
    /// The most dead letters to put back. Those that died first come first.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: u32,
    #[command(flatten)]
    pub(super) output: OutputFormat,
}

impl RequeueArgs {
    pub(super) fn filter(&self) -> DeadLetterFilter {
        DeadLetterFilter {
            kind: self.kind.clone(),
            error: self.error.clone(),
            after: self.after,
            before: self.before,
        }
    }
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|_| {
            "write a day in UTC such as 2026-01-31, or a time such as 2026-01-31T18:00:00Z".into()
        })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct RequeueCommand {
        #[command(flatten)]
        args: RequeueArgs,
    }

    #[test]
    fn a_requeue_needs_ids_or_a_filter_or_the_flag_all() {
        let accepts = |line: &str| RequeueCommand::try_parse_from(line.split(' ')).is_ok();
        assert!(!accepts("requeue"));
        assert!(!accepts("requeue --limit 5"));
        assert!(!accepts("requeue 1 --kind a"));
        assert!(!accepts("requeue 1 --all"));
        assert!(!accepts("requeue --all --kind a"));
        assert!(accepts("requeue 1 2"));
        assert!(accepts(
            "requeue --kind a --error b --before 2026-01-31 --limit 5"
        ));
        assert!(accepts("requeue --all"));
    }

    #[test]
    fn a_time_is_a_day_or_names_its_time_zone() {
        assert_eq!(time("2026-01-31"), time("2026-01-31T00:00:00Z"));
        assert_eq!(
            time("2026-01-31T19:00:00+01:00"),
            time("2026-01-31T18:00:00Z")
        );
        assert!(time("2026-01-31T18:00:00").is_err());
        assert!(time("yesterday").is_err());
    }
}
